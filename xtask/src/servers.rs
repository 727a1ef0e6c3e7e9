//! The servers that tests run against: found, or installed.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{Failure, workspace::Workspace};

/// What the tests need, as Debian calls it. They start servers of their own, on free ports and in
/// temporary directories: `steadfast_testkit::servers`.
const INSTALL: &str = "apt-get install -y --no-install-recommends \
     redis-server postgresql pgbouncer etcd-server gcc libc6-dev";

/// Where Debian has the versions of PostgreSQL, whose programs it keeps out of `PATH`.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Where Debian has the pooler: not in every user's `PATH`.
const POOLER: &str = "/usr/sbin/pgbouncer";

/// Debian starts what it installs, unless this program says no. What stood there before stays; what
/// is put there goes when the script ends, however it ends.
const SCRIPT: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
"#;

/// Finds Redis, PostgreSQL, its pooler, etcd and a C compiler, or installs them: on Debian and what
/// descends from it, as root or by `sudo` without a password.
pub(crate) fn install(workspace: &Workspace) -> Result<(), Failure> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(" and ");
    let by_hand = format!("{missing}: not here, and tests need it; install it by\n    {INSTALL}");
    if in_path("apt-get").is_none() {
        return Err(by_hand.into());
    }
    eprintln!("{missing}: not here; installed by Debian's packages, whose services stay down");
    let script = format!("{SCRIPT}{INSTALL} -qq");
    let as_root: &[&str] = if is_root(workspace)? { &[] } else { &["sudo", "-n"] };
    let words = [as_root, &["sh", "-c", &script]].concat();
    let installed = workspace.command(words[0]).args(&words[1..]).run();
    installed.map_err(|error| format!("{error}\n{by_hand}").into())
}

fn missing() -> Vec<&'static str> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().filter_map(Result::ok);
    let has_postgres =
        versions.map(|version| version.path()).any(|version| version.join("bin/postgres").exists())
            || in_path("initdb").is_some();
    let is_here = |program: &str| in_path(program).is_some();
    let found = [
        ("redis-server", is_here("redis-server")),
        ("postgres", has_postgres),
        ("pgbouncer", is_here("pgbouncer") || Path::new(POOLER).exists()),
        ("etcd", is_here("etcd")),
        // It compiles the servers' clocks.
        ("cc", is_here("cc")),
    ];
    found.into_iter().filter(|(_, is_here)| !is_here).map(|(name, _)| name).collect()
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|directory| directory.join(program)).find(|found| found.exists())
}

fn is_root(workspace: &Workspace) -> Result<bool, Failure> {
    Ok(workspace.command("id").args(["-u"]).output()?.trim() == "0")
}
