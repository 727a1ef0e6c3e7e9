//! Which nodes to call, and when: the state of a call as plain data. No clock, no services.

use std::time::Duration;

use steadfast_core::{Executed, Grounds, RefusalKind, Verdict};

use crate::{Decision, Nodes, Rule};

/// Which nodes were called, and what they answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress<const WORDS: usize> {
    called: Nodes<WORDS>,
    yes: Nodes<WORDS>,
    no: Nodes<WORDS>,
    /// Of the nodes that answered: those that may have executed the request.
    executed: Nodes<WORDS>,
    /// Of the nodes that said no: those whose no was the caller's fault, those that may say yes to
    /// the same request later, those that had too much to do, and those whose no says nothing of
    /// them.
    permanent: Nodes<WORDS>,
    repeatable: Nodes<WORDS>,
    throttled: Nodes<WORDS>,
    ignored: Nodes<WORDS>,
    /// Of the nodes that have not answered: those that have not been sent the request, and those
    /// that are known not to be ready for it.
    unsent: Nodes<WORDS>,
    unready: Nodes<WORDS>,
    /// The soonest that a node said it makes sense to come back.
    retry_after: Option<Duration>,
}

impl<const WORDS: usize> Progress<WORDS> {
    /// No node is called; those that are absent have failed.
    pub(crate) const fn new(absent: Nodes<WORDS>) -> Self {
        Self {
            called: Nodes::EMPTY,
            yes: Nodes::EMPTY,
            no: absent,
            executed: Nodes::EMPTY,
            permanent: Nodes::EMPTY,
            repeatable: Nodes::EMPTY,
            throttled: Nodes::EMPTY,
            ignored: Nodes::EMPTY,
            unsent: Nodes::EMPTY,
            unready: Nodes::EMPTY,
            retry_after: None,
        }
    }

    /// A node is called.
    pub(crate) fn call(&mut self, node: usize) {
        self.called.insert(node);
    }

    /// A node has answered; it has `seen` the request, unless it failed before it was sent.
    pub(crate) fn answered(&mut self, node: usize, verdict: Verdict, seen: bool) {
        self.sent(node);
        let said = if verdict == Verdict::Success { &mut self.yes } else { &mut self.no };
        said.insert(node);
        match verdict {
            Verdict::Permanent => self.permanent.insert(node),
            Verdict::Throttled { .. } => self.throttled.insert(node),
            Verdict::Repeatable { .. } => self.repeatable.insert(node),
            Verdict::Ignored => self.ignored.insert(node),
            Verdict::Success | Verdict::Transient { .. } => false,
        };
        self.retry_after = self.retry_after.into_iter().chain(verdict.retry_after()).min();
        let executed = match verdict {
            Verdict::Transient { executed, .. }
            | Verdict::Throttled { executed, .. }
            | Verdict::Repeatable { executed, .. } => executed == Executed::Maybe,
            Verdict::Success | Verdict::Permanent | Verdict::Ignored => true,
        };
        if seen && executed {
            self.executed.insert(node);
        }
    }

    pub(crate) fn decide(&self, rule: &dyn Rule<WORDS>) -> Decision {
        rule.decide(self.yes, self.no)
    }

    pub(crate) const fn called(&self) -> Nodes<WORDS> {
        self.called
    }

    pub(crate) const fn yes(&self) -> Nodes<WORDS> {
        self.yes
    }

    pub(crate) const fn no(&self) -> Nodes<WORDS> {
        self.no
    }

    /// A node is called that is sent the request once it is ready.
    pub(crate) fn call_when_ready(&mut self, node: usize) {
        self.call(node);
        self.unsent.insert(node);
    }

    /// A node was found not to be ready. Says whether that is known only now.
    pub(crate) fn is_unready(&mut self, node: usize) -> bool {
        self.unready.insert(node)
    }

    /// A node has been sent the request.
    pub(crate) fn sent(&mut self, node: usize) {
        self.unsent.remove(node);
        self.unready.remove(node);
    }

    /// The nodes that have not been sent the request will be, in the background.
    pub(crate) fn goes_on(&mut self) {
        self.unsent = Nodes::EMPTY;
    }

    /// The nodes that may have executed the request, or may yet.
    pub(crate) fn executed(&self) -> Nodes<WORDS> {
        self.executed | (self.out() - self.unsent)
    }

    /// What a call that is lost is to the layers further out: the caller's fault if every no was,
    /// too much if every no was that. Where no node is at fault and some may say yes later, it is
    /// repeatable: such a no counts against no service, and that of all of them does not either.
    ///
    /// An ignored no is a no, and says nothing of its node: where it takes such ones to lose, the
    /// call says nothing of the nodes either. Where the others are enough, they decide what it is.
    pub(crate) fn grounds(&self, rule: &dyn Rule<WORDS>) -> Grounds {
        let no = self.no - self.ignored;
        let all_are = |these: Nodes<WORDS>| !no.is_empty() && no == these;
        let is_lost_without_them = || rule.decide(self.yes, no) == Decision::Lost;
        let kind = if !self.ignored.is_empty() && !is_lost_without_them() {
            RefusalKind::DeadlineExceeded
        } else if all_are(self.permanent) {
            RefusalKind::Unacceptable
        } else if all_are(self.permanent | self.repeatable) {
            // A conflict is repeatable only with a time to come back.
            if self.retry_after.is_some() {
                RefusalKind::Conflict
            } else {
                RefusalKind::RequestTimeout
            }
        } else if all_are(self.throttled) {
            RefusalKind::TooMany
        } else {
            RefusalKind::Unavailable
        };
        self.grounds_of(kind).with_retry_after(self.retry_after)
    }

    /// The grounds of this kind, with what is known of execution.
    pub(crate) fn grounds_of(&self, kind: RefusalKind) -> Grounds {
        if self.executed().is_empty() {
            Grounds::not_executed(kind)
        } else {
            Grounds::maybe_executed(kind)
        }
    }

    /// The nodes that were called and have not answered.
    pub(crate) fn out(&self) -> Nodes<WORDS> {
        self.called - self.yes - self.no
    }

    /// The nodes to call when one has failed, or is not ready: the next in `order`, and as many
    /// more as it takes for a quorum together with the nodes that answered yes and those that are
    /// out and ready. Nodes that would not help are left out.
    pub(crate) fn in_its_place(
        &self,
        rule: &dyn Rule<WORDS>,
        order: impl Iterator<Item = usize> + Clone,
    ) -> Nodes<WORDS> {
        let uncalled = order.filter(|node| !self.called.contains(*node));
        fewest(rule, self.counted_on(), &uncalled)
    }

    /// The nodes that answered yes, or may soon.
    fn counted_on(&self) -> Nodes<WORDS> {
        self.yes | (self.out() - self.unready)
    }

    /// The node to call when those that are out take too long: the next in `order`.
    pub(crate) fn after_delay(&self, mut order: impl Iterator<Item = usize>) -> Option<usize> {
        order.find(|node| !self.called.contains(*node))
    }
}

/// The nodes to call first: a quorum, of ready nodes if they are one, the first in `order`
/// preferred.
pub(crate) fn opening<const WORDS: usize>(
    rule: &dyn Rule<WORDS>,
    order: impl Iterator<Item = usize> + Clone,
    ready: Nodes<WORDS>,
) -> Nodes<WORDS> {
    let are_ready = order.clone().filter(move |node| ready.contains(*node));
    let are_not = order.filter(move |node| !ready.contains(*node));
    fewest(rule, Nodes::EMPTY, &are_ready.chain(are_not))
}

/// The first of `more`, and further ones until they make a quorum with the `counted` nodes; less
/// those that the quorum can do without, the last tried first.
fn fewest<const WORDS: usize>(
    rule: &dyn Rule<WORDS>,
    counted: Nodes<WORDS>,
    more: &(impl Iterator<Item = usize> + Clone),
) -> Nodes<WORDS> {
    let (mut count, mut added) = (0, Nodes::EMPTY);
    for node in more.clone() {
        count += 1;
        added.insert(node);
        if rule.is_quorum(counted | added) {
            break;
        }
    }
    // From behind, without a list: a rule over few nodes is asked sooner than memory for one is
    // found.
    for place in (0..count).rev() {
        let Some(node) = more.clone().nth(place) else { continue };
        let mut fewer = added;
        fewer.remove(node);
        if !fewer.is_empty() && rule.is_quorum(counted | fewer) {
            added = fewer;
        }
    }
    added
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Expr, Expression, Joint, NodeSet, Threshold};

    fn set(nodes: impl IntoIterator<Item = usize>) -> NodeSet {
        NodeSet::of(nodes).unwrap()
    }

    const FAILED: Verdict = Verdict::transient(Executed::No);

    #[test]
    fn a_quorum_of_the_nodes_that_are_ready_is_called_first() {
        let rule = Threshold::of(2, 4).unwrap();
        let order = [3, 0, 1, 2];
        assert_eq!(opening(&rule, order.into_iter(), NodeSet::ALL), set([3, 0]));
        assert_eq!(opening(&rule, order.into_iter(), set([0, 2])), set([0, 2]));
        assert_eq!(
            opening(&rule, order.into_iter(), set([2])),
            set([2, 3]),
            "the readiness of one more is awaited"
        );
    }

    #[test]
    fn only_nodes_that_help_are_called() {
        // Node 0 with any of the others: asking 1 and 2 in vain would not help.
        let rule = Expression::new(Expr::from(3) & Expr::any([0, 1, 2])).unwrap();
        assert_eq!(opening(&rule, [0, 1, 2, 3].into_iter(), NodeSet::ALL), set([0, 3]));
        let mut progress = Progress::new(NodeSet::EMPTY);
        [0, 3].into_iter().for_each(|node| progress.call(node));
        progress.answered(0, FAILED, true);
        assert_eq!(progress.in_its_place(&rule, [0, 1, 2, 3].into_iter()), set([1]));
    }

    #[test]
    fn one_more_is_called_for_each_failure_though_a_hedge_is_out() {
        let rule = Threshold::of(2, 5).unwrap();
        let order = [0, 1, 2, 3, 4];
        let mut progress = Progress::new(NodeSet::EMPTY);
        [0, 1].into_iter().for_each(|node| progress.call(node));
        assert_eq!(progress.after_delay(order.into_iter()), Some(2));
        progress.call(2);
        progress.answered(0, FAILED, true);
        assert_eq!(progress.in_its_place(&rule, order.into_iter()), set([3]));
    }

    #[test]
    fn a_failure_is_made_up_for_by_as_many_as_it_takes() {
        let halves =
            [set([1, 2, 3]), set([3, 4, 5])].map(|half| Threshold::majority(half).unwrap());
        let rule = Joint::new(halves).unwrap();
        let order = [3, 1, 4, 2, 5];
        assert_eq!(opening(&rule, order.into_iter(), NodeSet::ALL), set([3, 1, 4]));
        let mut progress = Progress::new(NodeSet::EMPTY);
        [3, 1, 4].into_iter().for_each(|node| progress.call(node));
        progress.answered(3, FAILED, true);
        // Without node 3 it takes both others of each half.
        assert_eq!(progress.in_its_place(&rule, order.into_iter()), set([2, 5]));
    }

    #[test]
    fn when_all_are_called_there_is_nobody_left() {
        let rule = Threshold::of(1, 1).unwrap();
        let mut progress = Progress::new(NodeSet::EMPTY);
        progress.call(0);
        progress.answered(0, FAILED, true);
        assert_eq!(progress.in_its_place(&rule, [0].into_iter()), NodeSet::EMPTY);
        assert_eq!(progress.after_delay([0].into_iter()), None);
        assert_eq!(progress.decide(&rule), Decision::Lost);
    }

    #[test]
    fn whether_it_may_have_been_executed_is_known_of_each_node() {
        let mut progress = Progress::new(NodeSet::EMPTY);
        progress.answered(0, FAILED, true);
        progress.answered(1, Verdict::transient(Executed::Maybe), false);
        assert!(progress.executed().is_empty(), "refused, and failed before it was sent");
        progress.answered(2, Verdict::Permanent, true);
        progress.answered(3, Verdict::Success, true);
        assert_eq!(progress.executed(), set([2, 3]));
    }

    #[test]
    fn a_no_that_may_be_a_yes_later_counts_against_no_service() {
        let soon = Some(Duration::from_secs(2));
        let repeatable = |executed, retry_after| Verdict::Repeatable { executed, retry_after };
        let (no, maybe) = (Executed::No, Executed::Maybe);
        let rule = Threshold::of(2, 2).unwrap();
        let lost = |verdicts: [Verdict; 2]| {
            let mut progress = Progress::new(NodeSet::EMPTY);
            for (node, verdict) in verdicts.into_iter().enumerate() {
                progress.call(node);
                progress.answered(node, verdict, true);
            }
            assert_eq!((progress.yes(), progress.no()), (set([]), set([0, 1])), "a vote for no");
            progress.grounds(&rule)
        };
        let as_verdict = |verdicts| Verdict::from(lost(verdicts));
        // With a time to come back, without one, and beside a no that is the caller's fault.
        let grounds = lost([repeatable(no, soon), repeatable(maybe, None)]);
        assert_eq!(
            (grounds.kind, Verdict::from(grounds)),
            (RefusalKind::Conflict, repeatable(maybe, soon))
        );
        let grounds = lost([repeatable(no, None); 2]);
        assert_eq!(
            (grounds.kind, Verdict::from(grounds)),
            (RefusalKind::RequestTimeout, repeatable(no, None))
        );
        assert_eq!(as_verdict([Verdict::Permanent, repeatable(no, soon)]), repeatable(maybe, soon));
        // A node that failed is one that failed, whatever the other says.
        for failed in [FAILED, Verdict::throttled()] {
            assert!(as_verdict([failed, repeatable(no, soon)]).is_failure(), "{failed:?}");
        }
        // An absent node is a failed one.
        let mut progress = Progress::new(set([2]));
        progress.answered(0, repeatable(no, soon), true);
        assert_eq!(progress.grounds(&rule).kind, RefusalKind::Unavailable);
    }

    #[test]
    fn an_ignored_no_counts_against_no_node_and_blames_none() {
        let soon = Some(Duration::from_secs(2));
        let repeatable = Verdict::Repeatable { executed: Executed::No, retry_after: soon };
        let lost = |verdicts: [Verdict; 3], needed: usize| {
            let rule = Threshold::of(needed, 3).unwrap();
            let mut progress = Progress::new(NodeSet::EMPTY);
            for (node, verdict) in verdicts.into_iter().enumerate() {
                progress.call(node);
                progress.answered(node, verdict, true);
            }
            assert_eq!(progress.decide(&rule), Decision::Lost, "an ignored answer is no yes");
            progress.grounds(&rule)
        };
        let (ignored, success) = (Verdict::Ignored, Verdict::Success);
        // Two of three are needed. One that fails would not have lost it, two would.
        assert_eq!(lost([success, ignored, ignored], 2).kind, RefusalKind::DeadlineExceeded);
        assert_eq!(lost([FAILED, success, ignored], 2).kind, RefusalKind::DeadlineExceeded);
        assert_eq!(Verdict::from(lost([FAILED, ignored, ignored], 2)), Verdict::Ignored);
        assert!(Verdict::from(lost([FAILED, FAILED, ignored], 2)).is_failure());
        // Where all are needed, one is enough, and what it said is what the call is.
        assert!(Verdict::from(lost([FAILED, ignored, success], 3)).is_failure());
        assert_eq!(lost([Verdict::Permanent, ignored, success], 3).kind, RefusalKind::Unacceptable);
        assert_eq!(lost([repeatable, ignored, success], 3).kind, RefusalKind::Conflict);
        assert_eq!(lost([Verdict::throttled(), ignored, ignored], 3).kind, RefusalKind::TooMany);
    }
}
