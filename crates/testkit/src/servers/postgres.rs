//! A PostgreSQL of the tests' own.

use std::{
    env, fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    clock::Clock,
    guardian::{self, Guardian, missing, mortal},
};

/// A PostgreSQL server with an empty database, which ends when it is dropped, and with this
/// process.
///
/// As Debian sets it up: it syncs at every commit. Every client of the loopback interface is let in
/// as the superuser `postgres`. Where the tests run as root, it runs as the system's user
/// `postgres`, as it must.
#[derive(Debug)]
pub struct PostgresServer {
    port: u16,
    clock: Option<Clock>,
    programs: PathBuf,
    /// What makes a command that of the user whom the data belong to.
    user: Vec<String>,
    guardian: Guardian,
}

/// Where Debian has its versions.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The system's user, by the package.
pub(super) const USER: &str = "postgres";

impl PostgresServer {
    /// Sets up a server and starts it.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::launch(None, false)
    }

    /// The same, of a server whose wall clock [can be stepped](Self::step_clock).
    ///
    /// # Panics
    /// As `start`, and when there is no C compiler.
    #[must_use]
    pub fn start_with_clock() -> Self {
        Self::launch(None, true)
    }

    /// With the data of the server of that port, or without data.
    fn launch(primary: Option<u16>, has_clock: bool) -> Self {
        let programs = programs();
        let program = |name: &str| programs.join(name).to_string_lossy().into_owned();
        let (initdb, copy, postgres) =
            (program("initdb"), program("pg_basebackup"), program("postgres"));
        let mut why = String::new();
        // Again when another process was quicker to take the port.
        for _ in 0..3 {
            let port = guardian::port();
            let directory = guardian::directory("postgres");
            let clock = has_clock.then(|| Clock::new(&directory));
            let user = user(&directory);
            let data = directory.join("data").to_string_lossy().into_owned();
            let source = primary.map(|port| port.to_string());
            let set_up = match &source {
                None => [&[&*initdb, "-D", &data], NEW].concat(),
                Some(port) => [&[&*copy, "-D", &data, "-p", port], COPY].concat(),
            };
            guardian::run(&directory, &as_user(&user, &set_up));
            let port_word = port.to_string();
            let clocked = clock.iter().flat_map(Clock::words).map(String::as_str);
            let mut command: Vec<_> = clocked.collect();
            command.extend([&postgres, "-D", &data, "-p", &port_word]);
            for setting in SETTINGS {
                command.extend(["-c", setting]);
            }
            let guardian = Guardian::new(directory, "QUIT", &as_user(&user, &command));
            match guardian.start(|| answers(&programs, port)) {
                Ok(()) => return Self { port, clock, programs, user, guardian },
                Err(log) => why = log,
            }
        }
        panic!("postgres has ended:\n{why}");
    }

    /// Copies this server, and starts the copy as its asynchronous standby, which can be read and
    /// follows it. It has a clock of its own if this one has.
    ///
    /// What is committed here while the standby is down is not there, and is lost when it is
    /// promoted: kill the standby, commit, kill this one, restart the standby, promote it.
    ///
    /// # Panics
    /// When it does not start, or cannot reach this server.
    #[must_use]
    pub fn standby(&self) -> Self {
        Self::launch(Some(self.port), self.clock.is_some())
    }

    /// Makes a standby a server of its own, with what it has received, also over restarts.
    ///
    /// # Panics
    /// When it is none, or does not run.
    pub fn promote(&self) {
        let program = self.programs.join("pg_ctl").to_string_lossy().into_owned();
        let data = self.directory().join("data").to_string_lossy().into_owned();
        let promote = [&*program, "promote", "-w", "-s", "-D", &data];
        guardian::run(self.directory(), &as_user(&self.user, &promote));
    }

    /// Where its database is, as clients take it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    /// Its port of the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its temporary directory, with its data and its log.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.guardian.directory()
    }

    /// What asks whether it is up, and others of its protocol.
    pub(super) fn programs(&self) -> &Path {
        &self.programs
    }

    /// Kills all its processes. Its data stay.
    pub fn kill(&self) {
        self.guardian.tell("kill");
    }

    /// Stops all its processes, as a paused machine stops: connections stay, and nothing is
    /// answered.
    pub fn stop(&self) {
        self.guardian.tell("stop");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.guardian.tell("resume");
    }

    /// Sets its wall clock forward by so many seconds, or back. It keeps what it is off by over a
    /// restart.
    ///
    /// # Panics
    /// When it was started without a clock of its own.
    pub fn step_clock(&self, seconds: i64) {
        self.clock.as_ref().expect("it was started with a clock").step(seconds);
    }

    /// Kills it if it runs, and starts it with its data on its port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.kill();
        let mut why = String::new();
        // A backend that was killed a moment ago may still hold the memory of the server before.
        for _ in 0..100 {
            match self.guardian.start(|| answers(&self.programs, self.port)) {
                Ok(()) => return,
                Err(log) => why = log,
            }
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
        panic!("postgres does not start again:\n{why}");
    }
}

const SETTINGS: [&str; 4] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "logging_collector=off",
];

/// A server without data.
const NEW: &[&str] = &["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"];
/// A standby: at once, with all that it needs to start, and with whom to follow.
const COPY: &[&str] =
    &["-h", "127.0.0.1", "-U", USER, "-c", "fast", "-X", "stream", "-R", "--no-sync"];

/// A command of that user's that ends with its parent. In this order: another user's process is not
/// mortal any more.
pub(super) fn as_user(user: &[String], command: &[&str]) -> Vec<String> {
    let command = command.iter().map(|word| (*word).to_owned());
    user.iter().cloned().chain(mortal(command)).collect()
}

/// The newest of those that are installed, and otherwise that in `PATH`.
fn programs() -> PathBuf {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().filter_map(Result::ok);
    let newest = versions
        .map(|version| version.path().join("bin"))
        .filter(|programs| programs.join("postgres").exists())
        .max_by_key(|programs| version(programs));
    let path = env::var_os("PATH").unwrap_or_default();
    newest
        .or_else(|| env::split_paths(&path).find(|programs| programs.join("initdb").exists()))
        .unwrap_or_else(|| missing("postgres", &format!("it is neither in {VERSIONS} nor in PATH")))
}

fn version(programs: &Path) -> u32 {
    let name = programs.parent().and_then(Path::file_name).unwrap_or_default();
    name.to_string_lossy().parse().unwrap_or(0)
}

/// What makes a command the system's user's, if this is root; the directory becomes that user's.
pub(super) fn user(directory: &Path) -> Vec<String> {
    if !guardian::is_root(directory).expect("it was made a moment ago") {
        return Vec::new();
    }
    let id = |which: &str| -> u32 {
        let output = Command::new("id").args([which, USER]).output();
        let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let id = said.ok().and_then(|said| said.parse().ok());
        id.unwrap_or_else(|| missing("postgres", &format!("there is no user {USER}")))
    };
    let (user, group) = (id("-u"), id("-g"));
    chown(directory, Some(user), Some(group)).expect("root may");
    let words = ["setpriv".to_owned(), format!("--reuid={user}"), format!("--regid={group}")];
    words.into_iter().chain(["--clear-groups".to_owned(), "--".to_owned()]).collect()
}

pub(super) fn answers(programs: &Path, port: u16) -> bool {
    Command::new(programs.join("pg_isready"))
        .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
