//! The table of refusals in docs/errors.md says what the code does.

use std::time::Duration;

use steadfast::{
    Grounds, Refusal, RefusalKind, Verdict,
    http::{Problem, Render},
    tonic::status_of,
};

const ERRORS: &str = include_str!("../../../../docs/errors.md");

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("refused")]
struct Refused {
    #[source]
    grounds: Grounds,
}

impl Refusal for Refused {
    fn grounds(&self) -> Grounds {
        self.grounds
    }
}

/// The cells of each row of the table that begins with this header.
fn rows<'a>(document: &'a str, header: &str) -> Vec<Vec<&'a str>> {
    let lines = document.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Success => "success",
        Verdict::Transient { .. } => "transient",
        Verdict::Throttled { .. } => "throttled",
        Verdict::Repeatable { .. } => "repeatable",
        Verdict::Permanent => "permanent",
        Verdict::Ignored => "ignored",
    }
}

/// `DEADLINE_EXCEEDED` of `DeadlineExceeded`.
fn as_in_grpc(code: tonic::Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[test]
fn every_kind_of_refusal_is_in_the_table_as_it_is_in_the_code() {
    let rows = rows(ERRORS, "| refusal | HTTP | gRPC");
    assert_eq!(rows.len(), RefusalKind::ALL.len());
    for (row, kind) in rows.iter().zip(RefusalKind::ALL) {
        let grounds = Grounds::maybe_executed(*kind);
        let refused = Refused { grounds };
        let response = Problem.render(&refused);
        let verdict = name(Verdict::from(grounds));
        let soon = grounds.with_retry_after(Some(Duration::from_secs(1)));
        let verdict = match name(Verdict::from(soon)) {
            then if then == verdict => verdict.to_owned(),
            then => format!("{verdict}; with a time to come back {then}"),
        };
        let expected = [
            kind.to_string(),
            response.status().as_u16().to_string(),
            format!("`{}`", as_in_grpc(status_of(&refused).code())),
            verdict,
        ];
        let mut said = row.clone();
        // Which of this project's refusals it is stands in brackets.
        said[0] = said[0].split(" (").next().unwrap();
        assert_eq!(said, expected);
    }
}
