//! Processes by name, and timelines that are played to them.

use std::{
    io,
    net::TcpStream,
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use steadfast_chaos::{
    Delay, Event, FailureMode, Outage, Plan,
    process::{Child, ProcessError, ProcessFault},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::{spawn_blocking, yield_now},
    time::{sleep, timeout},
};

use crate::Client;

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const TESTS: [(&str, fn()); 10] = [
    ("an outage of a timeline stops a process, and lets it go on", paused),
    ("a killed process is started again on the port it had", killed),
    ("random outages leave every process alive when they are over", at_random),
    ("a process that is slow to start delays no other", slow_start),
    ("a run that is dropped lets go on what it has stopped", dropped_while_stopped),
    ("a run that is dropped stops nothing any more", dropped_before_it_stops),
    ("a run is dropped at once while a process starts", dropped_while_starting),
    ("a run that fails lets go on what it has stopped", failed),
    ("a name that is not there is an error before anything happens", unknown),
    ("the last handle ends its processes, and healing revives the dead", ended_and_healed),
];

fn echo(port: u16) -> io::Result<Child> {
    Child::spawn(["echo".to_owned(), port.to_string()])
}

fn echoes<const N: usize>(names: [&str; N]) -> ProcessFault {
    let processes = ProcessFault::new();
    for name in names {
        processes.start(name, echo).unwrap();
    }
    processes
}

fn client(processes: &ProcessFault, name: &str) -> Client {
    let mut client = Client::connect(processes.address(name).unwrap());
    client.ask(1);
    client
}

/// A runtime whose clock moves when all else waits, but not while a process is stopped or started.
fn paused_clock() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn real_clock() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

fn paused() {
    paused_clock().block_on(async {
        let processes = echoes(["a", "b"]);
        let (mut a, mut b) = (client(&processes, "a"), client(&processes, "b"));
        let delayed = FailureMode::Delayed { delay: Delay::of(MS), direction: None };
        let limited = FailureMode::Limited { bytes_per_second: NonZeroU64::MIN, direction: None };
        let timeline = Plan::new(0)
            .outage(Outage::new("a", FailureMode::Paused).during(HOUR..3 * HOUR))
            .outage(Outage::new("no process", delayed).during(HOUR..2 * HOUR))
            .outage(Outage::new("no process", limited).during(HOUR..2 * HOUR))
            .timeline()
            .unwrap();
        let run = tokio::spawn({
            let processes = processes.clone();
            async move { processes.run(&timeline).await }
        });
        sleep(HOUR / 2).await;
        a.ask(2);
        sleep(HOUR).await;
        a.send(3);
        assert!(!a.answers_within(200 * MS, 3), "a stopped process answered");
        b.ask(3);
        assert!(!run.is_finished());
        run.await.unwrap().unwrap();
        assert!(a.answers_within(PATIENCE, 3), "it does not go on");
    });
}

fn killed() {
    paused_clock().block_on(async {
        let processes = echoes(["a"]);
        let (address, id) = (processes.address("a").unwrap(), processes.id("a").unwrap());
        let mut a = client(&processes, "a");
        assert!(processes.apply(&Event::begin(HOUR, "a", FailureMode::Killed)).await.unwrap());
        a.expect_end();
        TcpStream::connect(address).unwrap_err();
        assert!(!processes.is_alive("a").unwrap());
        let dead = processes.apply(&Event::begin(HOUR, "a", FailureMode::Paused)).await;
        let dead = dead.unwrap_err();
        assert_eq!(dead.to_string(), "cannot stop the process \"a\"");
        assert!(processes.apply(&Event::end(HOUR, "a", FailureMode::Killed)).await.unwrap());
        assert_eq!(processes.address("a").unwrap(), address);
        assert_ne!(processes.id("a").unwrap(), id);
        client(&processes, "a");
        // What happens to links is not for it.
        assert!(!processes.apply(&Event::begin(HOUR, "a", FailureMode::Cut)).await.unwrap());
        client(&processes, "a");
    });
}

fn at_random() {
    paused_clock().block_on(async {
        let processes = ProcessFault::new();
        let starts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&starts);
        let start = move |port| {
            counted.fetch_add(1, Ordering::Relaxed);
            echo(port)
        };
        processes.start("a", start).unwrap();
        processes.start("b", echo).unwrap();
        let day = 24 * HOUR;
        let timeline = Plan::new(5)
            .outage(Outage::new("a", FailureMode::Killed).at_random(HOUR, HOUR / 10, day))
            .outage(Outage::new("b", FailureMode::Paused).at_random(HOUR, HOUR / 10, day))
            .timeline()
            .unwrap();
        let kills = timeline.iter().filter(|event| &*event.target == "a").count() / 2;
        assert!((10..40).contains(&kills), "{kills}");
        processes.run(&timeline).await.unwrap();
        assert_eq!(starts.load(Ordering::Relaxed), kills + 1);
        client(&processes, "a");
        client(&processes, "b");
    });
}

/// The first start is at once. Each further one takes until something is received.
fn start_slowly(processes: &ProcessFault, name: &str) -> mpsc::Sender<()> {
    let (go_on, wait) = mpsc::channel();
    let mut is_first = true;
    let start = move |port| {
        if !std::mem::take(&mut is_first) {
            wait.recv_timeout(PATIENCE).map_err(io::Error::other)?;
        }
        echo(port)
    };
    processes.start(name, start).unwrap();
    go_on
}

fn slow_start() {
    real_clock().block_on(async {
        let processes = echoes(["b"]);
        let go_on = start_slowly(&processes, "a");
        let timeline = Plan::new(0)
            .outage(Outage::new("a", FailureMode::Killed).during(MS..2 * MS))
            .outage(Outage::new("b", FailureMode::Killed).during(50 * MS..))
            .timeline()
            .unwrap();
        let run = tokio::spawn({
            let processes = processes.clone();
            async move { processes.run(&timeline).await }
        });
        let dead = async {
            while processes.is_alive("b").unwrap() {
                sleep(MS).await;
            }
        };
        timeout(PATIENCE, dead).await.expect("b waits for a");
        assert!(!run.is_finished(), "nothing has started a");
        go_on.send(()).unwrap();
        run.await.unwrap().unwrap();
        client(&processes, "a");
    });
}

fn dropped_while_stopped() {
    paused_clock().block_on(async {
        let processes = echoes(["a"]);
        let mut a = client(&processes, "a");
        let stop = [Event::begin(Duration::ZERO, "a", FailureMode::Paused)];
        let forever = [stop[0].clone(), Event::end(9 * HOUR, "a", FailureMode::Paused)];
        {
            let mut run = Box::pin(processes.run(&forever));
            tokio::select! {
                biased;
                _ = &mut run => panic!("it has an hour to go"),
                () = sleep(HOUR) => {}
            }
            a.send(2);
            assert!(!a.answers_within(100 * MS, 2), "a stopped process answered");
        }
        assert!(a.answers_within(PATIENCE, 2), "it stands still after its run");
        // With no end in the timeline, the run ends and the stop does not.
        processes.run(&stop).await.unwrap();
        a.send(3);
        assert!(!a.answers_within(100 * MS, 3), "a stopped process answered");
        processes.heal().unwrap();
        assert!(a.answers_within(PATIENCE, 3));
    });
}

fn dropped_before_it_stops() {
    let runtime =
        Builder::new_current_thread().enable_time().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let processes = echoes(["a"]);
        let mut a = client(&processes, "a");
        let (go_on, wait) = mpsc::channel::<()>();
        let busy = spawn_blocking(move || wait.recv());
        let stop = [Event::begin(Duration::ZERO, "a", FailureMode::Paused)];
        let run = tokio::spawn({
            let processes = processes.clone();
            async move { processes.run(&stop).await }
        });
        // Time for its stop to wait for the only thread.
        sleep(10 * MS).await;
        yield_now().await;
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
        go_on.send(()).unwrap();
        busy.await.unwrap().unwrap();
        // In the queue behind the stop.
        spawn_blocking(|| {}).await.unwrap();
        a.ask(2);
    });
}

fn dropped_while_starting() {
    real_clock().block_on(async {
        let processes = ProcessFault::new();
        let go_on = start_slowly(&processes, "a");
        let restart = [Event::end(Duration::ZERO, "a", FailureMode::Killed)];
        let before = processes.address("a").unwrap();
        let run = tokio::spawn({
            let processes = processes.clone();
            async move { processes.run(&restart).await }
        });
        // Dead, and on the way to be started.
        let dead = async {
            while TcpStream::connect(before).is_ok() {
                sleep(MS).await;
            }
        };
        timeout(PATIENCE, dead).await.expect("it is not dead before it is started");
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled(), "it waited for the start");
        go_on.send(()).unwrap();
        // Looked at when the start is over.
        assert!(processes.is_alive("a").unwrap());
        client(&processes, "a");
    });
}

fn failed() {
    paused_clock().block_on(async {
        let processes = echoes(["a"]);
        let mut starts = 0;
        let once = move |port| {
            starts += 1;
            if starts > 1 { Err(io::Error::other("no more")) } else { echo(port) }
        };
        processes.start("b", once).unwrap();
        let mut a = client(&processes, "a");
        let timeline = Plan::new(0)
            .outage(Outage::new("a", FailureMode::Paused).during(HOUR..9 * HOUR))
            .outage(Outage::new("b", FailureMode::Killed).during(HOUR..2 * HOUR))
            .timeline()
            .unwrap();
        let error = processes.run(&timeline).await.unwrap_err();
        assert!(
            matches!(&error, ProcessError::Refused { name, what: "start", .. } if &**name == "b"),
            "{error}"
        );
        a.ask(2);
        assert!(!processes.is_alive("b").unwrap());
    });
}

fn unknown() {
    paused_clock().block_on(async {
        let processes = echoes(["a"]);
        let taken = processes.start("a", echo).unwrap_err();
        assert!(matches!(taken, ProcessError::Taken { .. }), "{taken}");
        let timeline = [
            Event::begin(Duration::ZERO, "a", FailureMode::Killed),
            Event::begin(HOUR, "z", FailureMode::Killed),
        ];
        let error = processes.run(&timeline).await.unwrap_err();
        assert_eq!(error.to_string(), "no process is called \"z\"");
        assert!(processes.is_alive("a").unwrap());
        assert!(processes.address("z").is_err() && processes.kill("z").is_err());
    });
}

fn ended_and_healed() {
    let processes = echoes(["a", "b"]);
    processes.pause("a").unwrap();
    processes.kill("b").unwrap();
    processes.heal().unwrap();
    let (mut a, mut b) = (client(&processes, "a"), client(&processes, "b"));
    processes.pause("a").unwrap();
    let other = processes.clone();
    drop(processes);
    b.ask(2);
    drop(other);
    a.expect_end();
    b.expect_end();
}
