//! The README as a newcomer reads it: lines for `Cargo.toml` and a program are pasted as they are
//! written into a new crate, built against this workspace, and run.

mod cases;

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use serde_json::Value;

use self::cases::{Case, cases, changed_lines, disagreements};
use crate::{Failure, workspace::Workspace};

const README: &str = "README.md";
/// The two programs that the README shows the difference of.
const BEFORE: &str = "examples/six_lines/before.rs";
const AFTER: &str = "examples/six_lines/after.rs";
/// What the registry shows of the facade.
const FACADE: &str = "crates/steadfast/README.md";

/// A program shows one thing and ends.
const RUN_LIMIT: Duration = Duration::from_secs(30);

/// Builds and runs every case of the README, as one crate each.
///
/// The registry is not asked: the versions are those of this workspace's lock file, and a program
/// that names another one fails.
pub(crate) fn try_all(workspace: &Workspace) -> Result<(), Failure> {
    let readme = fs::read_to_string(workspace.root().join(README))?;
    let facade = fs::read_to_string(workspace.root().join(FACADE))?;
    let features = workspace.features("steadfast");
    let faults = disagreements(&readme, &facade, &features);
    if !faults.is_empty() {
        return Err(format!("{README} and {FACADE} disagree:\n{}", faults.join("\n")).into());
    }
    compare_diff(workspace, &readme)?;
    let cases = cases(&readme).map_err(|fault| format!("{README}: {fault}"))?;
    let room = workspace.target().join("newcomer");
    settle(workspace, &room, &cases)?;
    let cargo = |words: &str| {
        let cargo = workspace.cargo(words).args(["--offline", "--manifest-path"]);
        cargo
            .args([room.join("Cargo.toml")])
            .env("CARGO_TARGET_DIR", &room.join("target").to_string_lossy())
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0")
    };
    for case in &cases {
        // One at a time: what another case asks of a crate they share must not help this one.
        cargo(&format!("build -p {}", case.name)).run()?;
        cargo(&format!("run -q -p {}", case.name)).limit(RUN_LIMIT).run()?;
    }
    let metadata = cargo("metadata --format-version 1").output()?;
    only_locked(&metadata, &fs::read_to_string(workspace.root().join("Cargo.lock"))?)
}

/// Holds the difference that the README shows to the two programs. How many lines it has is
/// asserted by the example.
fn compare_diff(workspace: &Workspace, readme: &str) -> Result<(), Failure> {
    let (added, removed) = changed_lines(readme);
    for (file, other, lines) in [(AFTER, BEFORE, added), (BEFORE, AFTER, removed)] {
        let program = fs::read_to_string(workspace.root().join(file))?;
        let without = fs::read_to_string(workspace.root().join(other))?;
        let stands = |text: &str, line: &str| text.lines().any(|other| other == line);
        let stranger = lines.iter().find(|line| !stands(&program, line) || stands(&without, line));
        if lines.is_empty() || stranger.is_some() {
            return Err(format!("{README}: not what {file} changes: {stranger:?}").into());
        }
    }
    Ok(())
}

/// Makes a crate of each case. All that is not in the README is in the manifest above them.
fn settle(workspace: &Workspace, room: &Path, cases: &[Case]) -> Result<(), Failure> {
    let mut manifest = "[workspace]\nresolver = \"3\"\nmembers = [".to_owned();
    for case in cases {
        write!(manifest, "{:?}, ", case.name)?;
        let directory = room.join(&case.name);
        fs::create_dir_all(directory.join("src"))?;
        fs::write(directory.join("Cargo.toml"), case.manifest())?;
        fs::write(directory.join("src/main.rs"), &case.program)?;
    }
    manifest.push_str("]\n\n[patch.crates-io]\n");
    for (name, directory) in workspace.published_in() {
        writeln!(manifest, "{name} = {{ path = {:?} }}", directory.to_string_lossy())?;
    }
    fs::write(room.join("Cargo.toml"), manifest)?;
    fs::copy(workspace.root().join("Cargo.lock"), room.join("Cargo.lock"))?;
    Ok(())
}

/// Cargo takes other versions where it can, if those of the lock file do not fit.
fn only_locked(metadata: &str, lock: &str) -> Result<(), Failure> {
    let metadata: Value = serde_json::from_str(metadata)?;
    let packages = metadata["packages"].as_array().ok_or("the metadata lists no packages")?;
    // The crates of the cases and of this workspace have no source.
    let foreign = packages.iter().filter(|package| !package["source"].is_null());
    let strangers: Vec<String> = foreign
        .filter_map(|package| Some((package["name"].as_str()?, package["version"].as_str()?)))
        .filter(|(name, version)| {
            !lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n"))
        })
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    if strangers.is_empty() {
        return Ok(());
    }
    Err(format!("not in Cargo.lock: {}", strangers.join(", ")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_the_lock_file_does_not_have_is_found() {
        let metadata = r#"{"packages": [
            {"name": "steadfast", "version": "0.1.0", "source": null},
            {"name": "tower", "version": "0.5.3", "source": "registry+x"},
            {"name": "http", "version": "1.4.0", "source": "registry+x"}]}"#;
        let lock = "[[package]]\nname = \"tower\"\nversion = \"0.5.3\"\n\n";
        let both = format!("{lock}[[package]]\nname = \"http\"\nversion = \"1.4.0\"\n\n");
        only_locked(metadata, &both).unwrap();
        let fault = only_locked(metadata, lock).unwrap_err().to_string();
        assert_eq!(fault, "not in Cargo.lock: http 1.4.0");
    }
}
