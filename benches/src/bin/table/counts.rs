//! Allocations, counted by a program of its own.

use std::{collections::HashMap, env, error::Error, process::Command};

use crate::profile::Profile;

/// Of a thousand calls, or of what was not given back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) allocations: u64,
    pub(crate) bytes: u64,
}

/// The counts by the id of the row.
pub(crate) fn counts() -> Result<HashMap<String, Count>, Box<dyn Error>> {
    ask(&[])
}

/// What there is to weigh, by its name.
pub(crate) fn memory() -> Result<HashMap<String, Count>, Box<dyn Error>> {
    ask(&["memory"])
}

fn ask(words: &[&str]) -> Result<HashMap<String, Count>, Box<dyn Error>> {
    let output = command()?.args(words).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    String::from_utf8(output.stdout)?.lines().map(parse).collect()
}

/// Built by cargo in the same profile. Where cargo has not started this program, the other one
/// stands beside it: so copies of both, made of two commits, can be run one after the other.
fn command() -> Result<Command, Box<dyn Error>> {
    let Some(cargo) = env::var_os("CARGO") else {
        return Ok(Command::new(env::current_exe()?.with_file_name("allocations")));
    };
    let mut command = Command::new(cargo);
    command.args([
        "run",
        "--quiet",
        "--profile",
        Profile::current().name(),
        "-p",
        env!("CARGO_PKG_NAME"),
    ]);
    command.args(["--bin", "allocations", "--"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    Ok(command)
}

fn parse(line: &str) -> Result<(String, Count), Box<dyn Error>> {
    let [name, allocations, bytes] = line.split('\t').collect::<Vec<_>>()[..] else {
        return Err(format!("not a count: {line}").into());
    };
    Ok((name.to_owned(), Count { allocations: allocations.parse()?, bytes: bytes.parse()? }))
}
