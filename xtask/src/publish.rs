//! Publishing: all crates at once, and its rehearsal in CI.

use std::{
    fs,
    hash::{BuildHasher, Hasher, RandomState},
};

use crate::{Failure, workspace::Workspace};

/// Uploads every published crate, and refuses while the registry could not say where their source
/// is: links to the repository, and a reader's way to it, hang on that line.
pub(crate) fn publish(workspace: &Workspace) -> Result<(), Failure> {
    let homeless = workspace.without_repository();
    if !homeless.is_empty() {
        return Err(format!(
            "no repository is named in {}: write `repository = \"…\"` once under \
             [workspace.package], and `repository.workspace = true` in each crate",
            homeless.join(", ")
        )
        .into());
    }
    workspace.cargo("publish --workspace").run()
}

/// Up to the upload. Also of what is not committed yet: before a merge all of it is.
///
/// In a directory that no run has had before. Cargo unpacks a packaged dependency into its home by
/// the name of that directory and by version, and takes it for what it unpacked the last time.
pub(crate) fn rehearse(workspace: &Workspace) -> Result<(), Failure> {
    let bare = workspace.without_documented_features();
    if !bare.is_empty() {
        let line = "`all-features = true` under [package.metadata.docs.rs]";
        return Err(format!("{} must say {line}", bare.join(", ")).into());
    }
    let once = format!("publish-{:x}", RandomState::new().build_hasher().finish());
    let target = workspace.target().join(once);
    let words = "publish --workspace --dry-run --allow-dirty --target-dir";
    let published = workspace.cargo(words).args([&target]).run();
    fs::remove_dir_all(&target)?;
    published
}
