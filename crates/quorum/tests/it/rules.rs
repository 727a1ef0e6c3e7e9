//! Rules of every kind, each beside a model of what it is that shares no code with it.

use steadfast_quorum::{Expr, Expression, Joint, NodeSet, ReadWrite, Rule, Threshold, Weighted};

/// A rule, and whether a mask of nodes is one of its quorums by the definition.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) nodes: usize,
    pub(crate) rule: Box<dyn Rule>,
    pub(crate) model: Box<dyn Fn(u64) -> bool>,
}

fn subject(
    name: impl Into<String>,
    nodes: usize,
    rule: impl Rule + 'static,
    model: impl Fn(u64) -> bool + 'static,
) -> Subject {
    Subject { name: name.into(), nodes, rule: Box::new(rule), model: Box::new(model) }
}

fn has(mask: u64, node: usize) -> bool {
    mask & (1 << node) != 0
}

fn count(mask: u64, nodes: impl IntoIterator<Item = usize>) -> usize {
    nodes.into_iter().filter(|node| has(mask, *node)).count()
}

/// Every kind of rule over up to `most` nodes.
pub(crate) fn all(most: usize) -> Vec<Subject> {
    let mut all = Vec::new();
    for n in 1..=most {
        thresholds(n, &mut all);
        weights(n, &mut all);
    }
    joints(&mut all);
    expressions(&mut all);
    all.extend(pairs());
    all.retain(|subject| subject.nodes <= most);
    all
}

fn thresholds(n: usize, all: &mut Vec<Subject>) {
    let members = NodeSet::first(n).unwrap();
    for needed in 1..=n {
        let rule = Threshold::of(needed, n).unwrap();
        all.push(subject(format!("{needed} of {n}"), n, rule, move |mask| {
            count(mask, 0..n) >= needed
        }));
        all.push(subject(format!("dual of {needed} of {n}"), n, rule.dual(), move |mask| {
            count(!mask, 0..n) < needed
        }));
    }
    let majority = Threshold::majority(members).unwrap();
    all.push(subject(format!("majority of {n}"), n, majority, move |mask| {
        2 * count(mask, 0..n) > n
    }));
    for f in 0..n {
        if let Ok(rule) = Threshold::dissemination(members, f) {
            // Two quorums of so many have more than f nodes in common.
            all.push(subject(format!("{n} with {f} faults"), n, rule, move |mask| {
                2 * count(mask, 0..n) > n + f
            }));
        }
        if let Ok(rule) = Threshold::masking(members, f) {
            all.push(subject(format!("{n} masking {f} faults"), n, rule, move |mask| {
                2 * count(mask, 0..n) > n + 2 * f
            }));
        }
    }
}

fn weights(n: usize, all: &mut Vec<Subject>) {
    let weights = [3, 0, 1, 4, 1, 5, 9];
    let weigh = move |mask: u64| {
        (0..n).filter(|node| has(mask, *node)).map(|node| weights[node]).sum::<u32>()
    };
    let pairs = || (0..n).map(|node| (node, weights[node]));
    let total = weigh(u64::MAX);
    for needed in [1, total / 2 + 1, total] {
        let rule = Weighted::new(needed.into(), pairs()).unwrap();
        all.push(subject(format!("weight {needed} of {total}"), n, rule, move |mask| {
            weigh(mask) >= needed
        }));
    }
    let majority = Weighted::majority(pairs()).unwrap();
    all.push(subject(format!("half the weight of {n}"), n, majority, move |mask| {
        2 * weigh(mask) > total
    }));
}

fn joints(all: &mut Vec<Subject>) {
    let majority =
        |nodes: &[usize]| Threshold::majority(NodeSet::of(nodes.iter().copied()).unwrap()).unwrap();
    let model = |sets: Vec<Vec<usize>>| {
        move |mask: u64| sets.iter().all(|set| 2 * count(mask, set.iter().copied()) > set.len())
    };
    for sets in [
        vec![vec![1, 2, 3], vec![3, 4, 5]],
        vec![vec![0, 1, 2], vec![3, 4, 5, 6]],
        vec![vec![0, 1, 2], vec![2, 3], vec![0, 4, 5]],
        vec![vec![0, 1, 2, 3, 4], vec![2, 3, 4, 5, 6]],
        vec![vec![5]],
    ] {
        let rule = Joint::new(sets.iter().map(|set| majority(set))).unwrap();
        all.push(subject(format!("joint {sets:?}"), 7, rule, model(sets)));
    }
}

fn expressions(all: &mut Vec<Subject>) {
    let rule = |expr: Expr| Expression::new(expr).unwrap();
    let grid = rule(Expr::grid(2, 3));
    let row = |mask, row: usize| count(mask, row * 3..row * 3 + 3);
    all.push(subject("grid", 6, grid.clone(), move |mask| {
        (row(mask, 0) == 3 || row(mask, 1) == 3) && row(mask, 0) > 0 && row(mask, 1) > 0
    }));
    all.push(subject("dual of a grid", 6, grid.dual(), move |mask| {
        let rest = !mask;
        !((row(rest, 0) == 3 || row(rest, 1) == 3) && row(rest, 0) > 0 && row(rest, 1) > 0)
    }));
    let hierarchy =
        Expr::majority([Expr::majority([0, 1, 2]), Expr::from(3), Expr::majority([4, 5, 6])]);
    all.push(subject("hierarchy", 7, rule(hierarchy), move |mask| {
        let site = |first| count(mask, first..first + 3) >= 2;
        usize::from(site(0)) + usize::from(has(mask, 3)) + usize::from(site(4)) >= 2
    }));
    // A node may stand in several places.
    let shared = (Expr::from(0) & Expr::any([1, 2]))
        | Expr::all([1, 2, 3])
        | (Expr::choose(2, [0, 4, 5]) & 6);
    all.push(subject("nodes in several places", 7, rule(shared), move |mask| {
        let pair = has(mask, 0) && (has(mask, 1) || has(mask, 2));
        pair || count(mask, [1, 2, 3]) == 3 || (count(mask, [0, 4, 5]) >= 2 && has(mask, 6))
    }));
    all.push(subject("a node", 1, rule(Expr::from(0)), |mask| has(mask, 0)));
}

fn pairs() -> Vec<Subject> {
    let pair = ReadWrite::of_reads(
        Expression::new(Expr::any([Expr::all([0, 1, 2]), Expr::all([3, 4, 5])])).unwrap(),
    );
    let whole = |mask, row: usize| count(mask, row * 3..row * 3 + 3) == 3;
    vec![
        subject("rows to read", 6, pair.read().clone(), move |mask| {
            whole(mask, 0) || whole(mask, 1)
        }),
        subject("columns to write", 6, pair.write().clone(), move |mask| {
            count(mask, 0..3) > 0 && count(mask, 3..6) > 0
        }),
    ]
}
