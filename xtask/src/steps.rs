//! The steps of each task, in order: the quick ones that fail most often come first.

use std::{env, thread, time::Duration};

use crate::{
    Failure,
    command::Cmd,
    links, newcomer, publish, rusqlite, servers, tools, width,
    workspace::{LOOM_CFG, Workspace},
};

/// One thing that must hold.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) run: fn(&Workspace) -> Result<(), Failure>,
}

/// The gateway, the longest, takes a minute and a half.
const EXAMPLE_LIMIT: Duration = Duration::from_secs(300);

/// Half a minute on two idle cores.
const MODEL_LIMIT: Duration = Duration::from_secs(300);

/// How examples are run beside the run without arguments.
const ARGUMENTS: [(&str, &[&str]); 3] = [
    ("payments", &["--store sqlite", "--store redis", "--store postgres"]),
    ("leader", &["--store etcd", "--store redis", "--store postgres"]),
    // One after the other: each keeps two cores busy. Half a minute each.
    ("torture", &["--store etcd", "--store redis", "--store postgres"]),
];

/// What threads share in these crates is behind their feature `tokio`.
const OF_TOKIO: [&str; 3] = ["steadfast-idempotency", "steadfast-lease", "steadfast-phi"];

/// The crates that need no runtime, and their features that do.
const WITHOUT_RUNTIME: [(&str, &[&str]); 5] = [
    ("steadfast-chaos", &["tokio", "http", "proxy", "process", "metrics"]),
    ("steadfast-clock", &["tokio", "tonic"]),
    (
        "steadfast-idempotency",
        &[
            "axum",
            "tokio",
            "contract",
            "redis",
            "redis-tls",
            "postgres",
            "tokio-postgres",
            "deadpool",
            "sqlx",
            "tls",
            "sqlite",
            "http",
            "tonic",
            "metrics",
            "tracing",
        ],
    ),
    (
        "steadfast-lease",
        &[
            "tokio",
            "timerfd",
            "contract",
            "file",
            "redis",
            "redis-tls",
            "postgres",
            "tokio-postgres",
            "deadpool",
            "sqlx",
            "tls",
            "etcd",
            "etcd-tls",
            "object-store",
            "http",
            "metrics",
            "tracing",
        ],
    ),
    ("steadfast-phi", &["tokio", "keyed", "http", "tonic", "load", "metrics", "tracing"]),
];

/// All tests.
pub(crate) fn test() -> Vec<Step> {
    vec![
        Step {
            name: "servers",
            what: "Redis, PostgreSQL and etcd are here, or are installed; none is started",
            run: servers::install,
        },
        Step { name: "tests", what: "unit and integration tests, all features", run: tests },
        Step { name: "doctests", what: "every example in the documentation", run: doctests },
        Step { name: "loom", what: "every interleaving of the atomics", run: loom },
        Step { name: "model", what: "every course of a lease and of its fence", run: model },
        Step {
            name: "examples",
            what: "every example program, which asserts what it shows",
            run: examples,
        },
    ]
}

/// Everything that must hold before a merge.
pub(crate) fn ci() -> Vec<Step> {
    let before = [
        Step { name: "fmt", what: "the code is formatted", run: fmt },
        Step {
            name: "width",
            what: "no comment line is wider than code may be",
            run: width::check,
        },
        Step {
            name: "links",
            what: "links lead somewhere, wherever their page is read, and examples hide nothing",
            run: links::check,
        },
        Step {
            name: "tokio",
            what: "clocks, detectors, plans and records bring no tokio but with the features that say so",
            run: tokio,
        },
        Step { name: "deny", what: "bans, licences, sources, duplicate versions", run: deny },
        Step { name: "clippy", what: "no lint anywhere, all features", run: clippy },
        Step { name: "bare", what: "no lint in tests without features", run: clippy_bare },
        Step {
            name: "features",
            what: "each crate alone with none, each and all of its features",
            run: features,
        },
        Step {
            name: "rusqlite",
            what: "the store in a file also with the oldest rusqlite of its range",
            run: rusqlite::test_oldest,
        },
        Step {
            name: "newcomer",
            what: "each case of the README, pasted into a new crate, builds and runs",
            run: newcomer::try_all,
        },
        Step { name: "doc", what: "the documentation builds without a warning", run: doc },
        Step {
            name: "publish",
            what: "each published crate builds from its package alone, and is documented with all features",
            run: publish::rehearse,
        },
    ];
    before.into_iter().chain(test()).collect()
}

fn fmt(workspace: &Workspace) -> Result<(), Failure> {
    workspace.cargo("fmt --all --check").run()
}

/// Once strictly for what users get, and once for all, where the peers in the benches may bring
/// duplicate versions.
fn deny(workspace: &Workspace) -> Result<(), Failure> {
    let deny = tools::cargo_deny(workspace)?;
    let unpublished =
        workspace.unpublished().into_iter().flat_map(|name| ["--exclude".to_owned(), name]);
    let check = ["check", "--hide-inclusion-graph"];
    workspace
        .command(&deny)
        .args(["--exclude-dev"])
        .args(unpublished)
        .args(check)
        .args(["bans"])
        .run()?;
    workspace
        .command(&deny)
        .args(check)
        .args(["-W", "duplicate", "bans", "licenses", "sources"])
        .run()
}

fn tokio(workspace: &Workspace) -> Result<(), Failure> {
    WITHOUT_RUNTIME.iter().try_for_each(|(package, on_tokio)| without(workspace, package, on_tokio))
}

/// Features add up, so one look at all that should be free of it is enough.
fn without(workspace: &Workspace, package: &str, on_tokio: &[&str]) -> Result<(), Failure> {
    let free: Vec<String> = workspace
        .features(package)
        .into_iter()
        .filter(|feature| !on_tokio.contains(&feature.as_str()))
        .collect();
    if depends_on_tokio(workspace, package, &free)? {
        return Err(format!(
            "{package} depends on tokio, by itself or one of its features {}",
            free.join(", ")
        )
        .into());
    }
    // What finds nothing may be looking in the wrong place.
    for feature in on_tokio {
        if !depends_on_tokio(workspace, package, &[(*feature).to_owned()])? {
            return Err(format!(
                "{package} does not depend on tokio by its feature {feature}: say so"
            )
            .into());
        }
    }
    Ok(())
}

fn depends_on_tokio(
    workspace: &Workspace,
    package: &str,
    features: &[String],
) -> Result<bool, Failure> {
    let tree = workspace.cargo("tree --edges normal --prefix none --package").args([package]);
    let tree = tree.args(["--features".to_owned(), features.join(",")]).output()?;
    Ok(tree.lines().any(|line| line.starts_with("tokio ")))
}

fn clippy(workspace: &Workspace) -> Result<(), Failure> {
    workspace.cargo("clippy --workspace --all-targets --all-features -- -D warnings").run()
}

fn clippy_bare(workspace: &Workspace) -> Result<(), Failure> {
    // Only what is published: the benches and examples turn features on and would hide what is
    // missing without them.
    let published = workspace.published();
    workspace.cargo("clippy --all-targets").args(published).args(["--", "-D", "warnings"]).run()
}

fn features(workspace: &Workspace) -> Result<(), Failure> {
    let words = "hack clippy --workspace --ignore-private --each-feature -- -D warnings";
    workspace.command(tools::cargo_hack(workspace)?).args(words.split_whitespace()).run()
}

fn doc(workspace: &Workspace) -> Result<(), Failure> {
    let doc = workspace.cargo("doc --no-deps --all-features").args(workspace.libraries());
    doc.env("RUSTDOCFLAGS", "-D warnings").run()
}

/// With two tests for each core, because the long ones wait for servers that are killed, paused and
/// started again. A number of the caller's own stays.
fn tests(workspace: &Workspace) -> Result<(), Failure> {
    const TEST_THREADS: &str = "RUST_TEST_THREADS";
    let words = "test --workspace --all-features --lib --bins --tests";
    let threads = 2 * thread::available_parallelism()?.get();
    let threads = env::var(TEST_THREADS).unwrap_or_else(|_| threads.to_string());
    workspace.cargo(words).env(TEST_THREADS, &threads).run()
}

fn doctests(workspace: &Workspace) -> Result<(), Failure> {
    workspace.cargo("test --workspace --all-features --doc").run()
}

fn loom(workspace: &Workspace) -> Result<(), Failure> {
    for (package, has_target) in workspace.with_loom() {
        // Models stand in modules named loom, or in a test target of that name.
        let places =
            if has_target { vec!["--lib loom", "--test loom"] } else { vec!["--lib loom"] };
        let mut found = false;
        for place in places {
            let features =
                if OF_TOKIO.contains(&package.as_str()) { "--features tokio " } else { "" };
            let words = format!("test --release -p {package} {features}{place}");
            // A filter that matches nothing would succeed.
            if with_loom(workspace, &format!("{words} -- --list")).output()?.contains(": test") {
                with_loom(workspace, &words).run()?;
                found = true;
            }
        }
        if !found {
            return Err(format!(
                "{package} depends on loom and has no test in a module or a target named loom"
            )
            .into());
        }
    }
    Ok(())
}

/// Of the size that a debug build has no time for. Where the models of the atomics are built: the
/// dependencies are there already.
fn model(workspace: &Workspace) -> Result<(), Failure> {
    let words = "test --release -p steadfast-lease --test model";
    with_loom(workspace, &format!("{words} --no-run")).run()?;
    with_loom(workspace, words).limit(MODEL_LIMIT).run()
}

/// Release, because a model visits thousands of interleavings; a directory of its own, because the
/// flag changes every crate.
fn with_loom(workspace: &Workspace, words: &str) -> Cmd {
    let target = workspace.target().join("loom");
    let flags = format!("--cfg {LOOM_CFG}");
    workspace
        .cargo(words)
        .env("RUSTFLAGS", &flags)
        .env("CARGO_TARGET_DIR", &target.to_string_lossy())
}

/// Some start servers, which must be here.
fn examples(workspace: &Workspace) -> Result<(), Failure> {
    servers::install(workspace)?;
    for (package, example) in workspace.examples() {
        let words = format!("--release -p {package} --example {example}");
        workspace.cargo(&format!("build {words}")).run()?;
        let others = ARGUMENTS.iter().filter(|(of, _)| *of == example).flat_map(|(_, all)| *all);
        for arguments in [""].iter().chain(others) {
            let run = format!("run {words} -- {arguments}");
            workspace.cargo(&run).limit(EXAMPLE_LIMIT).run()?;
        }
    }
    Ok(())
}
