//! The contract of the testkit: switched off, in a dry run, and on with faults that let pass.

use std::time::Duration;

use steadfast_chaos::{FaultLayer, Faults, Plan, Rule};
use steadfast_core::{Detach, DetachConfig};
use steadfast_testkit::contract;
use tower::Layer;

use crate::support::{ALL, able, on};

/// Every fault, and none of them strikes.
fn sparing() -> Plan {
    let rules = ALL.into_iter().enumerate().map(|(number, fault)| {
        let rule = Rule::new(format!("{number}"), fault);
        match number % 3 {
            0 => rule.probability(0.0),
            1 => rule.only("never"),
            _ => rule.during(Duration::from_secs(3600)..Duration::from_secs(7200)),
        }
    });
    rules.fold(Plan::new(7), Plan::rule)
}

#[test]
fn switched_off_it_keeps_the_contract() {
    let plan = ALL.into_iter().enumerate().fold(Plan::new(7), |plan, (number, fault)| {
        plan.rule(Rule::new(format!("{number}"), fault))
    });
    let faults = Faults::new(plan).unwrap();
    contract::suite(|probe| able(&faults).layer(probe));
    assert_eq!(faults.snapshot().requests, 0);
}

#[test]
fn a_dry_run_keeps_the_contract() {
    let faults = Faults::new(Plan::new(7).rule(Rule::new("all", ALL[0]))).unwrap();
    faults.dry_run();
    contract::suite(|probe| able(&faults).layer(probe));
    let snapshot = faults.snapshot();
    assert!(snapshot.requests > 300, "{snapshot:?}");
    assert_eq!(snapshot.rule("all").unwrap().would_strike, snapshot.requests);
}

#[test]
fn faults_that_let_pass_keep_the_contract() {
    let faults = on(sparing());
    contract::suite(|probe| able(&faults).layer(probe));
    assert!(faults.snapshot().requests > 300);
}

#[test]
fn with_a_detach_that_has_nothing_to_do_it_keeps_the_contract() {
    let faults = on(sparing());
    let detach = Detach::new(DetachConfig::new()).unwrap();
    contract::suite(|probe| {
        FaultLayer::new(faults.clone())
            .tag(|_: &u32| Some("a tag"))
            .key(|&request: &u32| Some(request))
            .detach(detach.clone())
            .layer(probe)
    });
}
