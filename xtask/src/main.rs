//! Project tasks: `cargo xtask test` and `cargo xtask ci`, or single steps of them; `pictures` and
//! `publish`.

mod command;
mod links;
mod newcomer;
mod publish;
mod rusqlite;
mod servers;
mod steps;
mod tools;
mod width;
mod workspace;

use std::{env, process::ExitCode, time::Duration};

use crate::{command::timed, steps::Step, workspace::Workspace};

/// What a task reports when it fails: the command line or the finding.
type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "usage: cargo xtask test [step …]    all set-up and all tests
       cargo xtask ci [step …]      everything that must hold before a merge
       cargo xtask pictures         the pictures of docs/ for the guide's modules
       cargo xtask publish          uploads all published crates to the registry";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), Failure> {
    let (task, wanted) = args.split_first().ok_or_else(usage)?;
    let steps = match task.as_str() {
        "test" => steps::test(),
        "ci" => steps::ci(),
        "pictures" if wanted.is_empty() => return links::write_pictures(&Workspace::load()?),
        "publish" if wanted.is_empty() => return publish::publish(&Workspace::load()?),
        _ => return Err(usage()),
    };
    let steps = choose(steps, wanted)?;
    let workspace = Workspace::load()?;
    run_steps(&steps, &workspace)
}

/// The steps asked for, or all of them.
fn choose(steps: Vec<Step>, wanted: &[String]) -> Result<Vec<Step>, Failure> {
    if let Some(unknown) =
        wanted.iter().find(|name| steps.iter().all(|step| step.name != name.as_str()))
    {
        let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
        return Err(format!("there is no step {unknown}; there are: {}", names.join(", ")).into());
    }
    Ok(steps
        .into_iter()
        .filter(|step| wanted.is_empty() || wanted.iter().any(|name| name == step.name))
        .collect())
}

/// Runs the steps in order and stops at the first that fails; either way it ends with a summary.
fn run_steps(steps: &[Step], workspace: &Workspace) -> Result<(), Failure> {
    let mut done: Vec<(&str, Duration)> = Vec::new();
    let mut failure = None;
    for step in steps {
        eprintln!("\n==> {}: {}", step.name, step.what);
        let (result, took) = timed(|| (step.run)(workspace));
        done.push((step.name, took));
        if let Err(error) = result {
            failure = Some(format!("FAILED at step {}: {error}", step.name));
            break;
        }
        eprintln!("<== {}: ok, {:.1} s", step.name, took.as_secs_f64());
    }
    summarise(&done, steps.len(), failure.is_some());
    failure.map_or(Ok(()), |failure| Err(failure.into()))
}

fn summarise(done: &[(&str, Duration)], of: usize, failed: bool) {
    eprintln!("\n{} of {of} steps", done.len());
    for (index, (name, took)) in done.iter().enumerate() {
        let result = if failed && index + 1 == done.len() { "FAILED" } else { "ok" };
        eprintln!("  {name:<10} {result:<6} {:>7.1} s", took.as_secs_f64());
    }
    let total: Duration = done.iter().map(|(_, took)| *took).sum();
    eprintln!("  {:<10} {:<6} {:>7.1} s", "total", "", total.as_secs_f64());
}

fn usage() -> Failure {
    USAGE.into()
}
