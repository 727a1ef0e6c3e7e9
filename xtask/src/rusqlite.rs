//! The oldest rusqlite that the store in a file takes. The newest is that of the lock file.

use std::fs;

use crate::{Failure, workspace::Workspace};

/// The low end of the range in `Cargo.toml`. Programs with sqlx 0.8 get it, for the newest cannot
/// stand beside that.
const OLDEST: &str = "0.32.1";

/// A package of its own that runs the contract of stores, for a lock file has one version.
const MANIFEST: &str = r#"
[package]
name = "oldest-rusqlite"
version = "0.1.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
rusqlite = "=OLDEST"
steadfast-idempotency = { path = "ROOT/crates/idempotency", features = ["contract", "sqlite"] }
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
"#;

const TESTS: &str = r#"
#![cfg(test)]

use steadfast_idempotency::{SqliteConfig, SqliteStore};

steadfast_idempotency::store_contract! {
    #[tokio::test(flavor = "multi_thread")]
    async || {
        let file = std::env::temp_dir().join(format!("oldest-rusqlite-{}.db", std::process::id()));
        SqliteStore::open(SqliteConfig::new(), file).await.unwrap()
    }
}
"#;

/// Builds the store with it and runs the contract on it, in a directory under `target`.
pub(crate) fn test_oldest(workspace: &Workspace) -> Result<(), Failure> {
    let directory = workspace.target().join("oldest-rusqlite");
    fs::create_dir_all(directory.join("src"))?;
    let root = workspace.root().to_string_lossy();
    let manifest = directory.join("Cargo.toml");
    fs::write(&manifest, MANIFEST.replace("OLDEST", OLDEST).replace("ROOT", &root))?;
    fs::write(directory.join("src/lib.rs"), TESTS)?;
    // All else is as it is in the workspace.
    fs::copy(workspace.root().join("Cargo.lock"), directory.join("Cargo.lock"))?;
    let files = directory.join("files");
    fs::create_dir_all(&files)?;
    let tested = workspace
        .cargo("test --lib --manifest-path")
        .args([&manifest])
        .env("CARGO_TARGET_DIR", &directory.join("target").to_string_lossy())
        .env("TMPDIR", &files.to_string_lossy())
        .run();
    fs::remove_dir_all(files)?;
    tested
}
