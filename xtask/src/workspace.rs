//! What `cargo metadata` says of this workspace.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{Failure, command::Cmd};

/// The configuration flag under which atomics are loom's.
pub(crate) const LOOM_CFG: &str = "steadfast_loom";

/// The workspace: where it is and what is in it.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    packages: Vec<Value>,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self, Failure> {
        // Compiled in: where this package stands. One level up is the root.
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or("the package has no parent directory")?;
        let metadata = Cmd::new(cargo_path(), root)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()?;
        let metadata: Value = serde_json::from_str(&metadata)?;
        let target = metadata["target_directory"]
            .as_str()
            .ok_or("the metadata names no target directory")?;
        let packages = metadata["packages"].as_array().ok_or("the metadata lists no packages")?;
        Ok(Self { root: root.to_owned(), target: target.into(), packages: packages.clone() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A command at the root.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Cmd {
        Cmd::new(program, &self.root)
    }

    /// A cargo command line, its words apart by blanks.
    pub(crate) fn cargo(&self, words: &str) -> Cmd {
        self.command(cargo_path()).args(words.split_whitespace())
    }

    /// Where the packages stand.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let manifests =
            self.packages.iter().filter_map(|package| package["manifest_path"].as_str());
        manifests.filter_map(|manifest| Path::new(manifest).parent()).map(Path::to_owned).collect()
    }

    /// The packages that are published, as `-p` arguments.
    pub(crate) fn published(&self) -> Vec<String> {
        select(self.packages.iter().filter(|package| is_published(package)))
    }

    /// The packages that are published, by name, and where they stand.
    pub(crate) fn published_in(&self) -> Vec<(String, PathBuf)> {
        let published = self.packages.iter().filter(|package| is_published(package));
        let places = published.filter_map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str()?);
            Some((name(package), manifest.parent()?.to_owned()))
        });
        places.collect()
    }

    /// The names of the packages that are not published.
    pub(crate) fn unpublished(&self) -> Vec<String> {
        self.packages.iter().filter(|package| !is_published(package)).map(name).collect()
    }

    /// The names of the published packages that do not say where their source is.
    pub(crate) fn without_repository(&self) -> Vec<String> {
        let published = self.packages.iter().filter(|package| is_published(package));
        published.filter(|package| package["repository"].is_null()).map(name).collect()
    }

    /// The names of the published packages whose documentation would lack what is behind features.
    pub(crate) fn without_documented_features(&self) -> Vec<String> {
        let published = self.packages.iter().filter(|package| is_published(package));
        let lacks = |package: &&Value| package["metadata"]["docs"]["rs"]["all-features"] != true;
        published.filter(lacks).map(name).collect()
    }

    /// The READMEs that the registry shows.
    pub(crate) fn readmes(&self) -> Vec<PathBuf> {
        let published = self.packages.iter().filter(|package| is_published(package));
        let shown = published.filter_map(|package| {
            let directory = Path::new(package["manifest_path"].as_str()?).parent()?;
            Some(directory.join(package["readme"].as_str()?))
        });
        shown.collect()
    }

    /// The packages with a library, as `-p` arguments.
    pub(crate) fn libraries(&self) -> Vec<String> {
        select(self.packages.iter().filter(|package| targets(package, "lib").next().is_some()))
    }

    /// The features of one package.
    pub(crate) fn features(&self, package: &str) -> Vec<String> {
        let features = self.packages.iter().filter(|found| found["name"] == package);
        features
            .filter_map(|found| found["features"].as_object())
            .flat_map(|all| all.keys().cloned())
            .collect()
    }

    /// The examples, as package and name.
    pub(crate) fn examples(&self) -> Vec<(String, String)> {
        let of = |package| targets(package, "example").map(move |example| (name(package), example));
        self.packages.iter().flat_map(of).collect()
    }

    /// The packages whose atomics loom can model, and whether each keeps its models in a test
    /// target named `loom`.
    pub(crate) fn with_loom(&self) -> Vec<(String, bool)> {
        let models = |package: &&Value| {
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            dependencies.into_iter().any(|dependency| {
                dependency["name"] == "loom"
                    && dependency["target"].as_str().is_some_and(|cfg| cfg.contains(LOOM_CFG))
            })
        };
        let of = |package| (name(package), targets(package, "test").any(|target| target == "loom"));
        self.packages.iter().filter(models).map(of).collect()
    }
}

fn cargo_path() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn name(package: &Value) -> String {
    package["name"].as_str().unwrap_or_default().to_owned()
}

/// `publish = false` is an empty list of registries; without it there is no list.
fn is_published(package: &Value) -> bool {
    package["publish"].is_null()
}

fn select<'a>(packages: impl Iterator<Item = &'a Value>) -> Vec<String> {
    packages.flat_map(|package| ["-p".to_owned(), name(package)]).collect()
}

/// The names of a package's targets of one kind.
fn targets<'a>(package: &'a Value, kind: &'a str) -> impl Iterator<Item = String> + 'a {
    let targets = package["targets"].as_array().into_iter().flatten();
    let of_kind = move |target: &&Value| {
        target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == kind))
    };
    targets.filter(of_kind).filter_map(|target| target["name"].as_str().map(str::to_owned))
}
