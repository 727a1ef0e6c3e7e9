//! Real child processes: stopped, resumed, killed, orphaned. The executable starts itself again as
//! the child.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod fault;

use std::{
    env,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use steadfast_chaos::process::{Child, announce_ready, exit_when_orphaned};
use steadfast_testkit::loopback;

fn main() {
    match env::args().nth(1).as_deref() {
        Some("echo") => echo(),
        Some("middle") => middle(env::args().any(|arg| arg == "pause")),
        Some("silent") => {}
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
    let tests: [(&str, fn()); 6] = [
        ("a stopped child answers no request until it is resumed", stopped_and_resumed),
        ("a stopped child can be killed and another started", killed_and_restarted),
        ("a dropped guard ends a stopped child", dropped),
        ("an orphan ends", || orphaned(&["middle"])),
        ("a stopped orphan ends", || orphaned(&["middle", "pause"])),
        ("a child that ends without a word is an error", silent),
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
