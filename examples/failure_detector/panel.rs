//! What is printed while it runs: in a terminal a bar for each process, else a line each second.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use steadfast::{phi::Status, quorum::Decision};
use tokio::time::{Instant, sleep};

use crate::{MEMBERS, THRESHOLD, log::Log, wire::Held};

/// Of a bar, so that its line fits into 80 columns.
const WIDTH: usize = 24;

/// Where to print. Clones print to the same place.
#[derive(Clone)]
pub(crate) struct Panel {
    log: Log,
    start: Instant,
    /// The lines that stand below all that was said; none where there is no terminal.
    lines: Arc<Mutex<usize>>,
}

impl Panel {
    /// Shows what is held of all from now on.
    pub(crate) fn show(log: Log) -> Self {
        let panel = Self { log, start: Instant::now(), lines: Arc::default() };
        tokio::spawn(panel.clone().follow());
        panel
    }

    /// Prints a line that stays.
    pub(crate) fn say(&self, line: &str) {
        self.print(|out| writeln!(out, "{line}"));
    }

    async fn follow(self) {
        let is_terminal = io::stdout().is_terminal();
        let every = Duration::from_millis(if is_terminal { 100 } else { 1000 });
        loop {
            sleep(every).await;
            if is_terminal {
                self.print(|_| Ok(()));
            } else {
                let seconds = (Instant::now() - self.start).as_secs();
                self.say(&format!("{seconds:4} s  φ  {}", self.all().join("  ")));
            }
        }
    }

    /// φ of each in a word.
    fn all(&self) -> Vec<String> {
        let (heard, now) = (self.log.lock(), Instant::now());
        let word = |peer| {
            let held: Vec<_> = others(heard.held(peer, now), peer);
            format!("{peer}:{:<5}", number(median(&held)))
        };
        (0..MEMBERS).map(word).collect()
    }

    /// Prints above the bars, and these anew.
    fn print(&self, text: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let mut lines = self.lines.lock().expect("nothing panics while it is held");
        let mut out = io::stdout().lock();
        if *lines > 0 {
            let _ = write!(out, "\x1b[{lines}A\x1b[J");
        }
        // A closed output is no reason to end.
        let _ = text(&mut out);
        if out.is_terminal() {
            *lines = MEMBERS;
            (0..MEMBERS).for_each(|peer| drop(writeln!(out, "{}", self.bar(peer))));
        }
        let _ = out.flush();
    }

    /// The median φ of those that watch it, which of them doubt it, and whether it is voted dead.
    fn bar(&self, peer: usize) -> String {
        let (heard, now) = (self.log.lock(), Instant::now());
        let held = others(heard.held(peer, now), peer);
        let phi = median(&held);
        let mut doubts = String::new();
        for status in [Status::Suspected, Status::Convicted] {
            let of = held.iter().filter(|(_, held)| held.status == status);
            let of: Vec<String> = of.map(|(observer, _)| observer.to_string()).collect();
            if !of.is_empty() {
                doubts += &format!("  {} by {}", status.name(), of.join(" "));
            }
        }
        if held.iter().any(|(_, held)| held.decision == Decision::Won) {
            doubts += "  dead by votes";
        }
        let bar = "█".repeat(cells(phi));
        format!("  {peer} {bar:░<WIDTH$} φ {:<5}{doubts}", number(phi))
    }
}

fn others(all: impl Iterator<Item = (usize, Held)>, peer: usize) -> Vec<(usize, Held)> {
    all.filter(|(observer, held)| *observer != peer && held.status != Status::Unknown).collect()
}

fn median(held: &[(usize, Held)]) -> f64 {
    let mut phis: Vec<f64> = held.iter().map(|(_, held)| held.phi).collect();
    phis.sort_by(f64::total_cmp);
    phis.get(phis.len() / 2).copied().unwrap_or_default()
}

fn number(phi: f64) -> String {
    if phi < 100.0 { format!("{phi:.1}") } else { "99+".to_owned() }
}

/// All of them at the threshold.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn cells(phi: f64) -> usize {
    ((phi / THRESHOLD).clamp(0.0, 1.0) * WIDTH as f64) as usize
}
