//! What starts a server, signals it, and ends it with the process of the tests.

use std::{
    env, fs,
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::INSTALL;

/// A process between this one and the server.
///
/// A destructor would not do: statics have none, and neither has a process that is killed. The
/// guardian reads a pipe whose other end is here, and that end closes with this process. The server
/// dies also when its guardian is killed.
#[derive(Debug)]
pub(super) struct Guardian {
    directory: PathBuf,
    /// Of which none is left once it is dropped.
    line: Mutex<Option<Line>>,
}

#[derive(Debug)]
struct Line {
    guardian: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// How often a server that starts is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How often until it counts as failed: half a minute, for a machine with much else to do.
const LOOKS: u32 = 3_000;
/// Below the ports that the system gives to clients (32,768 and up on Linux): while a server is
/// down none of them can have its port, and no client that calls it can reach itself.
const PORTS: std::ops::Range<u16> = 16_384..32_768;

impl Guardian {
    /// Of the server that `command` starts, which `signal` ends. `directory` goes with it.
    pub(super) fn new(directory: PathBuf, signal: &str, command: &[String]) -> Self {
        let mut guardian = Command::new("sh")
            .args(["-c", include_str!("guardian.sh"), "guardian", signal])
            .arg(&directory)
            .args(command)
            .current_dir(&directory)
            // Of a group of its own: the terminal's interrupt ends the tests, and they end it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A reader of the tests' output would wait for the guardian's end, too.
            .stderr(Stdio::null())
            .spawn()
            .expect("every Unix has a shell");
        let words = guardian.stdin.take().expect("it is piped");
        let answers = BufReader::new(guardian.stdout.take().expect("it is piped"));
        Self { directory, line: Mutex::new(Some(Line { guardian, words, answers })) }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Starts the server, and waits until it `is_up`.
    ///
    /// # Errors
    /// When it has ended instead.
    ///
    /// # Panics
    /// When it is not up in half a minute.
    pub(super) fn start(&self, is_up: impl FnMut() -> bool) -> Result<(), String> {
        let pid = self.tell("start");
        self.wait(&pid, is_up)
    }

    /// Waits until the server of this process `is_up`: some wait for each other.
    ///
    /// # Errors
    /// When it has ended instead.
    ///
    /// # Panics
    /// When it is not up in half a minute.
    pub(super) fn wait(&self, pid: &str, mut is_up: impl FnMut() -> bool) -> Result<(), String> {
        for _ in 0..LOOKS {
            let was_up = is_up();
            // Asked behind the other: another server may have had the port, and answered.
            if !is_alive(pid) {
                return Err(self.log());
            }
            if was_up {
                return Ok(());
            }
            thread::park_timeout(LOOK);
        }
        panic!("the server does not answer:\n{}", self.log());
    }

    /// Has the guardian do something, and waits until it is done.
    pub(super) fn tell(&self, word: &str) -> String {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = line.as_mut().expect("only `drop` takes it");
        let mut answer = String::new();
        writeln!(line.words, "{word}")
            .and_then(|()| line.answers.read_line(&mut answer))
            .expect("the guardian lives as long as this process");
        answer.trim_end().to_owned()
    }

    /// What the server has said.
    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let line = self.line.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Line { mut guardian, words, answers }) = line.take() {
            drop((words, answers));
            // It ends by itself, and if it does not there is nothing that a test could do.
            let _ = guardian.wait();
        }
    }
}

/// Whether something comes to hold, in half a minute.
pub(super) fn comes(mut holds: impl FnMut() -> bool) -> bool {
    (0..LOOKS).any(|_| {
        let does = holds();
        if !does {
            thread::park_timeout(LOOK);
        }
        does
    })
}

/// An empty directory of its own.
pub(super) fn directory(name: &str) -> PathBuf {
    let path = env::temp_dir().join(format!("steadfast-{name}-{:016x}", random()));
    fs::create_dir(&path).expect("the temporary directory can be written");
    path
}

/// A port that is free now.
pub(super) fn port() -> u16 {
    let count = u64::from(PORTS.end - PORTS.start);
    let from = random();
    (0..count)
        .map(|n| PORTS.start + u16::try_from(from.wrapping_add(n) % count).expect("below 2^16"))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("not every port is taken")
}

/// Runs a command to its end.
pub(super) fn run(directory: &Path, command: &[String]) {
    let (program, args) = command.split_first().expect("a command is not empty");
    let output = Command::new(program).args(args).current_dir(directory).output();
    let output = output.unwrap_or_else(|error| missing(program, &error));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {command:?}\n{said}", output.status);
}

/// A command line that ends with its parent.
pub(super) fn mortal(command: impl IntoIterator<Item = String>) -> Vec<String> {
    let setpriv = ["setpriv", "--pdeathsig", "KILL", "--"];
    setpriv.into_iter().map(str::to_owned).chain(command).collect()
}

/// Fails the test with what is to be done.
pub(super) fn missing(what: &str, why: &dyn std::fmt::Display) -> ! {
    panic!("cannot run {what}: {why}; install it by\n    {INSTALL}");
}

/// Whether what this process creates is root's.
pub(super) fn is_root(directory: &Path) -> io::Result<bool> {
    Ok(fs::metadata(directory)?.uid() == 0)
}

/// Its guardian has not waited for a process that has just ended: it is there, and dead.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name of the program stands in parentheses, and may contain any.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Seeded by the system for each process.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
