//! What is printed, and whether the run has shown what it should.

use std::{cmp::Reverse, env, fs, path::PathBuf, time::Duration};

use crate::{
    Failure,
    checker::Violation,
    history::History,
    run::{Failures, MORE, Options, Seen},
    way::Way,
};

/// More kinds of failures are not printed.
const KINDS: usize = 3;
/// More are not printed.
const MOST: usize = 20;

pub(crate) fn print(options: &Options, seen: &Seen) {
    let Seen { history, verdict, faults, stops, took, bite, failures } = seen;
    println!("\n  seed      {}", options.seed);
    println!("  took      {:.1} min", took.as_secs_f64() / 60.0);
    let number: u32 = faults.values().sum();
    let faults: Vec<_> = faults.iter().map(|(fault, count)| format!("{count} × {fault}")).collect();
    println!("  faults    {number}: {}", faults.join(", "));
    println!(
        "  directed  {} stops between check and write, {} of them and of a successor between \
         first read and first write",
        stops.late + stops.crossed,
        stops.crossed
    );
    println!("  grants    {}, tokens {}", history.grants.len(), tokens(seen));
    println!("  claims    {} that the lease was valid", history.claims.len());
    println!(
        "  breaches  {} by which the store may grant what is held, and {} grants that did",
        history.breaches.len(),
        verdict.excused
    );
    println!("  failures  {}", often(failures));
    if let Some((after, stops)) = bite {
        println!("  bites     after {:.1} s and {stops} directed stops", after.as_secs_f64());
    }
    println!(
        "\n  {:<12} {:>8} {:>12} {:>8} {:>8}",
        "register", "writes", "acknowledged", "lost", "refused"
    );
    for way in Way::ALL {
        let at = way as usize;
        let (writes, acknowledged) = (history.writes[at].len(), history.acknowledged(at));
        let (lost, refused) = (verdict.lost[at], history.refused[at]);
        println!("  {:<12} {writes:>8} {acknowledged:>12} {lost:>8} {refused:>8}", way.name());
    }
}

/// What failed, the most frequent first.
fn often(failures: &Failures) -> String {
    let mut failures: Vec<_> = failures.iter().collect();
    failures.sort_by_key(|(_, count)| Reverse(**count));
    let number: u64 = failures.iter().map(|(_, count)| **count).sum();
    let said = failures.iter().take(KINDS).map(|(why, count)| format!("{count} × {why}"));
    let said: Vec<_> = said.collect();
    if said.is_empty() {
        return "none".to_owned();
    }
    format!("{number}; of them {}", said.join(", "))
}

fn tokens(seen: &Seen) -> String {
    let tokens = || seen.history.grants.iter().map(|grant| grant.token);
    match (tokens().min(), tokens().max()) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        _ => "none".to_owned(),
    }
}

/// Writes down what the checker was given, beside this program.
pub(crate) fn write_down(options: &Options, history: &History) -> Result<PathBuf, Failure> {
    let name = format!("torture-{}-{}.txt", options.kind.name(), options.seed);
    let path = env::current_exe()?.with_file_name(name);
    fs::write(&path, format!("{history:#?}"))?;
    Ok(path)
}

/// The run must have found nothing, and the twins of the fenced register must have lost something,
/// and that one must have taken something and kept something away: otherwise it shows nothing. A
/// fence that takes nothing loses nothing.
pub(crate) fn judge(seen: &Seen) -> Result<(), Failure> {
    let Seen { history, verdict, failures, .. } = seen;
    if !verdict.violations.is_empty() {
        let found: Vec<_> = verdict.violations.iter().take(MOST).map(said).collect();
        let number = verdict.violations.len();
        return Err(format!("{number} violations:\n  {}", found.join("\n  ")).into());
    }
    for way in [Way::Unfenced, Way::WritesOnly] {
        if verdict.lost[way as usize] == 0 {
            return Err(format!(
                "the {} register has lost nothing, also in {MORE:?} more: the run shows nothing. \
                 What failed: {}",
                way.name(),
                often(failures)
            )
            .into());
        }
    }
    let fenced = Way::Fenced as usize;
    let shown = [
        (history.acknowledged(fenced) > 0, "has taken no write"),
        (history.refused[fenced] > 0, "has refused nothing"),
    ];
    match shown.iter().find(|(is_shown, _)| !is_shown) {
        None => Ok(()),
        Some((_, what)) => Err(format!(
            "the fenced register {what}: the run shows nothing. What failed: {}",
            often(failures)
        )
        .into()),
    }
}

fn said(violation: &Violation) -> String {
    let ms = |span: &Duration| span.as_secs_f64() * 1_000.0;
    match violation {
        Violation::TokenTwice { token } => format!("two grants have the token {token}"),
        Violation::TokenBackwards { token, after } => {
            format!("the token {token} was granted after {after}")
        }
        Violation::Overlap { former, latter, by } => {
            let by = ms(by);
            format!("the holder of {former} claims {by:.3} ms of the lease of {latter}")
        }
        Violation::ValidAfterStop { token, .. } => {
            format!("the lease of {token} was valid behind a stop that was longer than it")
        }
        Violation::ValidInOutage { token, .. } => {
            format!("the lease of {token} was valid too late in an outage of its store")
        }
        Violation::ClaimTooLong { token, by } => {
            format!("the lease of {token} was claimed for {:.3} ms too long", ms(by))
        }
        Violation::Invented { way, id } => {
            format!("the {} register holds {id}, which none has written", way.name())
        }
        Violation::Lost { id, token } => {
            format!("the write {id} under the token {token} is lost from the fenced register")
        }
        Violation::RefusedAndWritten { way, id } => {
            format!("the write {id} was refused and is in the {} register", way.name())
        }
        Violation::Stale { id, token } => {
            format!("the fenced register took the write {id} under {token} behind a later holder")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checker::Verdict,
        director::Done,
        history::{History, Write},
        nemesis::Counts,
        word::Outcome,
    };

    /// A run in which nothing is wrong and the twins have lost something.
    fn seen(outcome: Outcome, refused: u64) -> Seen {
        let mut history = History::default();
        history.writes[2].push(Write { id: 1, base: 0, token: 10, outcome });
        history.refused[2] = refused;
        Seen {
            history,
            verdict: Verdict { lost: [1, 1, 0], ..Verdict::default() },
            faults: Counts::new(),
            stops: Done::default(),
            took: Duration::from_secs(30),
            bite: None,
            failures: Failures::new(),
        }
    }

    #[test]
    fn a_run_in_which_the_fenced_register_took_nothing_or_refused_nothing_fails() {
        judge(&seen(Outcome::Acknowledged, 1)).unwrap();
        for (outcome, refused, what) in [
            (Outcome::Refused, 1, "has taken no write"),
            (Outcome::Unknown, 1, "has taken no write"),
            (Outcome::Acknowledged, 0, "has refused nothing"),
        ] {
            let failure = judge(&seen(outcome, refused)).unwrap_err().to_string();
            assert!(failure.contains(what), "{failure}");
        }
    }

    #[test]
    fn a_run_that_found_something_or_did_not_bite_fails() {
        let mut found = seen(Outcome::Acknowledged, 1);
        found.verdict.violations.push(Violation::TokenTwice { token: 10 });
        judge(&found).unwrap_err();
        for twin in 0..2 {
            let mut tame = seen(Outcome::Acknowledged, 1);
            tame.verdict.lost[twin] = 0;
            judge(&tame).unwrap_err();
        }
    }
}
