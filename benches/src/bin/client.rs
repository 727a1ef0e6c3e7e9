//! What a request costs through `steadfast::reqwest::Client`, beside reqwest alone, over one
//! connection of loopback that is kept: allocations of the client's thread, and time.
//!
//! `cargo run --profile bench -p steadfast-benches --features client --bin client`

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use steadfast_breaker::BreakerLayer;
use steadfast_reqwest::Client;
use steadfast_retry::RetryLayer;
use steadfast_timeout::TimeoutLayer;
use tokio::runtime::{Builder, Runtime};
use tower::{ServiceBuilder, layer::util::Identity};

const ROUNDS: usize = 41;
const CALLS: usize = 200;

/// Sends one request, reads its answer, and says how long that is.
type Ask = Box<dyn Fn() -> usize>;

fn main() {
    let runtime: &Runtime = Box::leak(Box::new(
        Builder::new_current_thread().enable_all().build().expect("a runtime can be made"),
    ));
    let url = format!("http://{}/", server());
    let subjects = [
        ("reqwest alone", alone(runtime, &url)),
        ("no layer", through(runtime, &url, |http| Client::new(http, Identity::new()))),
        (
            "breaker, timeout",
            through(runtime, &url, |http| {
                Client::new(http, (BreakerLayer::default().http(), limit().http()))
            }),
        ),
        (
            "retry, breaker, timeout",
            through(runtime, &url, |http| {
                let stack = ServiceBuilder::new()
                    .layer(RetryLayer::default().http())
                    .layer(BreakerLayer::default().http())
                    .layer(limit().http());
                Client::new(http, stack)
            }),
        ),
    ];
    let mut took = vec![Vec::new(); subjects.len()];
    // The first rounds warm up connections, limits and the machine.
    for round in 0..ROUNDS + 3 {
        for ((_, ask), took) in subjects.iter().zip(&mut took) {
            let one = time(ask);
            if round >= 3 {
                took.push(one);
            }
        }
    }
    println!("{:<24} {:>12} {:>10} {:>12}", "", "allocations", "bytes", "µs, median");
    for ((name, ask), took) in subjects.iter().zip(&mut took) {
        let counted = allocation_counter::measure(|| {
            assert_eq!((0..CALLS).map(|_| ask()).sum::<usize>(), 5 * CALLS);
        });
        let calls = CALLS as f64;
        let (count, bytes) = (counted.count_total as f64, counted.bytes_total as f64);
        took.sort_unstable();
        let median = took[took.len() / 2].as_secs_f64() * 1e6;
        println!("{name:<24} {:>12.1} {:>10.0} {median:>12.1}", count / calls, bytes / calls);
    }
}

fn limit() -> TimeoutLayer {
    let (floor, ceiling) = (Duration::from_millis(50), Duration::from_secs(5));
    TimeoutLayer::adaptive(floor, ceiling).expect("the bounds are in order")
}

fn alone(runtime: &'static Runtime, url: &str) -> Ask {
    let (http, url) = (reqwest::Client::new(), url.to_owned());
    Box::new(move || {
        runtime.block_on(async {
            let answer = http.get(&url).send().await.expect("the server answers");
            answer.bytes().await.expect("the answer is whole").len()
        })
    })
}

fn through(runtime: &'static Runtime, url: &str, client: fn(reqwest::Client) -> Client) -> Ask {
    let (client, url) = (client(reqwest::Client::new()), url.to_owned());
    Box::new(move || {
        runtime.block_on(async {
            let answer = client.get(&url).send().await.expect("the server answers");
            answer.bytes().await.expect("the answer is whole").len()
        })
    })
}

/// The time of one call, of many.
#[expect(clippy::disallowed_methods, reason = "it is a program that measures time")]
fn time(ask: &Ask) -> Duration {
    let begun = Instant::now();
    for _ in 0..CALLS {
        assert_eq!(ask(), 5);
    }
    begun.elapsed() / CALLS as u32
}

/// Answers each request on a thread of its connection, with as little as may be.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a listener accepts for ever");
            thread::spawn(move || {
                let mut request = [0; 4096];
                // A GET of this program's comes in one piece.
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
