//! Allocations, counted by a program of its own.

use std::{collections::HashMap, env, error::Error, process::Command};

/// Of a thousand calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) allocations: u64,
    pub(crate) bytes: u64,
}

/// The counts by the name of the row.
pub(crate) fn counts() -> Result<HashMap<String, Count>, Box<dyn Error>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["run", "--quiet", "--profile", "bench", "-p", env!("CARGO_PKG_NAME"), "--bin", "allocations"];
    let output = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    String::from_utf8(output.stdout)?.lines().map(parse).collect()
}

fn parse(line: &str) -> Result<(String, Count), Box<dyn Error>> {
    let [name, allocations, bytes] = line.split('\t').collect::<Vec<_>>()[..] else {
        return Err(format!("not a count: {line}").into());
    };
    Ok((name.to_owned(), Count { allocations: allocations.parse()?, bytes: bytes.parse()? }))
}
