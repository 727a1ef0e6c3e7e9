//! Real child processes: stopped, resumed, killed, orphaned. The executable starts itself again as
//! the child.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod fault;

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process, thread,
    time::Duration,
};

use steadfast_chaos::process::{Child, announce_ready, exit_when_orphaned};
use steadfast_testkit::loopback;

fn main() {
    match env::args().nth(1).as_deref() {
        Some("echo") => echo(),
        Some("middle") => middle(env::args().any(|arg| arg == "pause")),
        Some("silent") => {}
        Some("noisy") => noisy(),
        Some("mute") => mute(),
        _ => run(),
    }
}

/// A child that sends every byte back, on the port it is given, if any.
fn echo() {
    exit_when_orphaned();
    let listener = match env::args().nth(2).map(|port| port.parse().unwrap()) {
        None | Some(0) => loopback().unwrap().0,
        Some(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap(),
    };
    listener.set_nonblocking(false).unwrap();
    announce_ready(listener.local_addr().unwrap().port()).unwrap();
    for connection in listener.incoming() {
        let mut connection = connection.unwrap();
        thread::spawn(move || {
            let mut byte = [0];
            while connection
                .read_exact(&mut byte)
                .and_then(|()| connection.write_all(&byte))
                .is_ok()
            {}
        });
    }
}

/// A child that prints whatever it likes before it is ready, and goes on.
fn noisy() {
    let noise = || {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(b"\xff\xfe no text\nready when you are\n").unwrap();
        stdout.write_all(&[b'x'; 3 << 20]).unwrap();
        stdout.write_all(b"ready 1\n").unwrap();
        stdout.flush().unwrap();
    };
    noise();
    thread::spawn(move || {
        loop {
            noise();
            pause(Duration::from_millis(1));
        }
    });
    echo();
}

/// A child that closes its standard output when it has said that it is ready.
fn mute() {
    // Here already, so that the death signal, which outlasts `exec`, is set as the output closes.
    exit_when_orphaned();
    let port = loopback().unwrap().1.port();
    announce_ready(port).unwrap();
    let mut command = process::Command::new(env::current_exe().unwrap());
    panic!("{}", command.args(["echo", &port.to_string()]).stdout(process::Stdio::null()).exec());
}

/// A child that has an echo for a child of its own and announces that one's port.
fn middle(pause: bool) {
    exit_when_orphaned();
    let mut child = Child::spawn(["echo"]).unwrap();
    // The connection must be accepted before the stop, or only the kernel's backlog would hold it.
    let mut early = Client::connect(child.address());
    early.ask(1);
    if pause {
        child.pause().unwrap();
    }
    announce_ready(child.port()).unwrap();
    loop {
        thread::park();
    }
}

fn run() {
    let tests: [(&str, fn()); 8] = [
        ("a stopped child answers no request until it is resumed", stopped_and_resumed),
        ("a stopped child can be killed and another started", killed_and_restarted),
        ("a dropped guard ends a stopped child", dropped),
        ("an orphan ends", || orphaned(&["middle"])),
        ("a stopped orphan ends", || orphaned(&["middle", "pause"])),
        ("a child that ends without a word is an error", silent),
        ("a child may print what is no text, and lines without an end", noise),
        ("a child that closes its standard output lives on", muted),
    ];
    for (name, test) in tests.into_iter().chain(fault::TESTS) {
        test();
        println!("ok: {name}");
    }
}

fn stopped_and_resumed() {
    let mut child = Child::spawn(["echo"]).unwrap();
    let mut client = Client::connect(child.address());
    client.ask(1);
    child.pause().unwrap();
    child.pause().unwrap();
    client.send(2);
    assert!(!client.answers_within(Duration::from_millis(200), 2), "a stopped process answered");
    assert!(child.is_alive().unwrap());
    child.resume().unwrap();
    assert!(client.answers_within(Duration::from_secs(10), 2), "a resumed process did not answer");
    // At once and in a row: each stop stands before it is said to.
    for byte in 3..53 {
        child.pause().unwrap();
        client.send(byte);
        assert!(
            !client.answers_within(Duration::from_millis(2), byte),
            "a stopped process answered"
        );
        child.resume().unwrap();
        assert!(
            client.answers_within(Duration::from_secs(10), byte),
            "a resumed process did not answer"
        );
    }
}

fn killed_and_restarted() {
    let mut child = Child::spawn(["echo"]).unwrap();
    child.pause().unwrap();
    child.kill().unwrap();
    assert!(!child.is_alive().unwrap());
    child.kill().unwrap();
    assert!(child.pause().is_err(), "a dead process was stopped");
    TcpStream::connect(child.address()).unwrap_err();
    let other = Child::spawn(["echo"]).unwrap();
    Client::connect(other.address()).ask(3);
}

fn dropped() {
    let mut child = Child::spawn(["echo"]).unwrap();
    let mut client = Client::connect(child.address());
    client.ask(1);
    child.pause().unwrap();
    drop(child);
    client.expect_end();
}

fn orphaned(args: &[&str]) {
    let mut middle = Child::spawn(args).unwrap();
    let mut client = Client::connect(middle.address());
    middle.kill().unwrap();
    client.expect_end();
}

fn silent() {
    Child::spawn(["silent"]).unwrap_err();
}

fn noise() {
    let mut child = Child::spawn(["noisy"]).unwrap();
    let mut client = Client::connect(child.address());
    for byte in 0..100 {
        client.ask(byte);
        pause(Duration::from_millis(2));
    }
    assert!(child.is_alive().unwrap());
}

fn muted() {
    let mut child = Child::spawn(["mute"]).unwrap();
    let start = (0..1000).find_map(|_| {
        pause(Duration::from_millis(10));
        TcpStream::connect(child.address()).ok()
    });
    let mut client = Client(start.expect("it does not serve"));
    for byte in 0..50 {
        client.ask(byte);
        pause(Duration::from_millis(2));
    }
    assert!(child.is_alive().unwrap());
    child.kill().unwrap();
    client.expect_end();
}

/// In a process of its own, or in a test without a runtime. It may be shorter.
fn pause(length: Duration) {
    thread::park_timeout(length);
}

struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).unwrap())
    }

    fn send(&mut self, byte: u8) {
        self.0.write_all(&[byte]).unwrap();
    }

    fn ask(&mut self, byte: u8) {
        self.send(byte);
        assert!(self.answers_within(Duration::from_secs(10), byte));
    }

    fn answers_within(&mut self, limit: Duration, byte: u8) -> bool {
        self.0.set_read_timeout(Some(limit)).unwrap();
        let mut answer = [0];
        self.0.read_exact(&mut answer).is_ok() && answer[0] == byte
    }

    /// The other process is gone: the connection is closed or reset, and not merely silent.
    fn expect_end(&mut self) {
        self.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        match self.0.read(&mut [0]) {
            Ok(read) => assert_eq!(read, 0, "the process is alive and answered"),
            Err(error) => assert_eq!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset,
                "the process is alive"
            ),
        }
    }
}
