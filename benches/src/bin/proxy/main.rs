//! What the fault proxy moves, beside a bare copy loop with the same buffers.
//!
//! Client and server are threads with blocking sockets, the proxies run on a runtime with one
//! worker: on two cores none of them has one to itself. The runs of all subjects alternate, and of
//! each row the median is printed.

mod subjects;
mod traffic;

use std::{io, net::SocketAddr};

use steadfast_chaos::{FaultProxy, ProxyConfig};
use tokio::runtime::{Builder, Runtime};

use crate::traffic::Traffic;

/// Odd, so that the median is one of them.
const RUNS: usize = 15;

/// One read of each proxy takes at most so much: the default of `ProxyConfig`.
const BUFFER: usize = 64 * 1024;

const NAMES: [&str; 4] =
    ["no proxy", "a bare copy loop", "tokio's copy_bidirectional", "FaultProxy, no fault"];

fn main() -> io::Result<()> {
    println!("| traffic | subject | median | of the bare copy loop |");
    println!("|---|---|---:|---:|");
    for traffic in Traffic::ALL {
        let medians = measure(traffic)?;
        for (name, median) in NAMES.iter().zip(medians) {
            let share = 100.0 * median / medians[1];
            println!("| {} | {name} | {median:.0} {} | {share:.0} % |", traffic.name, traffic.unit);
        }
    }
    Ok(())
}

/// The median of each subject.
fn measure(traffic: Traffic) -> io::Result<[f64; 4]> {
    let server = traffic::serve()?;
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let fault =
        FaultProxy::bind(ProxyConfig::new(server).buffer(BUFFER)).map_err(io::Error::other)?;
    let addresses: [SocketAddr; 4] =
        [server, subjects::bare(server)?, subjects::bidirectional(server)?, fault.address()];
    let mut rates = [const { Vec::new() }; 4];
    // The first run warms up.
    for run in 0..=RUNS {
        for (address, rates) in addresses.iter().zip(&mut rates) {
            let rate = traffic.run(*address)?;
            if run > 0 {
                rates.push(rate);
            }
        }
    }
    Ok(rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[RUNS / 2]
    }))
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build()
}
