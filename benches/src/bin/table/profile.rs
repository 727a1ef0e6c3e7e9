//! The two cargo profiles in which the table is measured.

use std::env;

/// How the program was built, as far as it can know: by the directory it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Thin link-time optimisation, one code generation unit.
    Bench,
    /// Cargo's defaults for a release: what a program has that sets nothing.
    Plain,
}

impl Profile {
    /// Cargo puts what `--profile plain` builds into a directory of that name, and what
    /// `--profile bench` builds into that of a release.
    pub(crate) fn current() -> Self {
        let program = env::current_exe().ok();
        let directory = program.as_deref().and_then(|program| program.parent()?.file_name());
        if directory.is_some_and(|name| name == Self::Plain.name()) {
            Self::Plain
        } else {
            Self::Bench
        }
    }

    /// As cargo calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bench => "bench",
            Self::Plain => "plain",
        }
    }
}
