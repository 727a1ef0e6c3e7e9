//! Stores that are wrong in one thing each, all of which the contract must find.

use std::{
    collections::{BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    sync::Mutex,
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use steadfast_idempotency::{
    Census, Change, ClaimReply, ClaimTerms, ClaimToken, OnAbandoned, Record, RecordId, Slot, State,
    Store, StoreError, View, ViewState, contract,
};
use tokio::{task::yield_now, time::Instant};

use crate::support::MS;

macro_rules! flaws {
    ($($flaw:ident)+) => {
        /// What a store does wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Flaw {
            Sound,
            $($flaw),+
        }

        const FLAWS: &[Flaw] = &[$($flaw),+];
    };
}

flaws! {
    // Of names.
    IgnoresScopes
    JoinsWithAColon
    FoldsCase
    EndsNamesAtNul
    ReadsNamesAsText
    CutsLongNames
    TrimsSpaces
    // Of tokens and fingerprints.
    CompletesForAnyToken
    RenewsForAnyToken
    ReleasesForAnyToken
    AbandonsForAnyToken
    ComparesHalfOfTokens
    ComparesHalfOfFingerprints
    ChecksFingerprintsAfterTheEnd
    ChecksFingerprintsAfterTheLease
    ChecksNoFingerprintOfItsOwnToken
    FreesFingerprintsWhenAbandoned
    // Of claims.
    RefusesARepeatedClaim
    RefusesARepeatedClaimThatIsLate
    DoesNotProlongByARepeatedClaim
    DoesNotProlongTheRecordByARepeatedClaim
    RunsAClaimAgainAfterItsAbandonment
    IgnoresThePolicy
    NeverTakesOver
    TakesOverBeforeTheLeaseEnds
    TakesOverAnAbandonedClaimAtOnce
    CountsAttemptsFromOneAgain
    TakesOverWithoutALease
    DoesNotProlongTheRecordByATakeover
    CutsALeaseShortByARepeatedClaim
    GrantsAgainWhatItHasOnceGranted
    // Of records and their ends.
    ExpiresWithTheLease
    ForgetsAtOnceWhatIsDone
    KeepsWhatIsDoneAsLongAsItsClaim
    KeepsWhatIsDoneForEver
    KeepsAnAbandonedRecordAsLongAsItsClaim
    CountsMillisecondsIn32Bits
    CountsSecondsIn16Bits
    CountsLeasesInWholeSeconds
    TakesZeroForNoLimit
    BringsBackByACompletion
    // Of renewals.
    RenewsShorter
    RenewsFromTheLastEnd
    DoesNotProlongTheRecordByARenewal
    DoesNotRenewLate
    RenewsWhatIsAbandoned
    RenewsNothing
    CutsTheRecordShortByARenewal
    // Of completions.
    CompletesAgain
    RefusesARepeatedCompletion
    DoesNotCompleteLate
    DoesNotCompleteWhatIsAbandoned
    KeepsWhatWasAbandonedAndIsDoneAsLongAsItsClaim
    ProlongsWhatIsDoneByARepeatedCompletion
    CutsReplies
    ReadsRepliesAsText
    HasNoEmptyReply
    // Of releases and abandonments.
    RefusesARepeatedRelease
    ReleasesWhatIsDone
    FreesAfterATakeover
    HoldsTheLeaseOfARelease
    AbandonsWhatIsDone
    EndsTheLeaseOfWhatIsAbandoned
    RefusesARepeatedAbandonment
    DoesNotReleaseLate
    DoesNotReleaseWhatIsAbandoned
    DoesNotAbandonLate
    CutsTheRecordShortByAnAbandonment
    // Of operators.
    LooksPastALease
    LooksPastTheEnd
    CountsAgeFromTheTakeover
    ShowsTheRetentionInPlaceOfWhatIsLeft
    ForgetsOnlyWhatIsDone
    ForgetsWhatWasNeverThere
    ForgetsNothing
    PurgesWhatIsAbandoned
    PurgesWhatIsInFlight
    PurgesMoreThanItIsTold
    PurgesWhatIsDone
    CountsLeasesThatEndedAsInFlight
    CountsOnlyWhatWasSaidToBeAbandoned
    CountsOnlyWhatIsAbandoned
    CountsAgeFromTheEndOfTheLease
    // Of what comes at the same time.
    ClaimsInTwoSteps
    CompletesInTwoSteps
    RenewsInTwoSteps
    ReleasesInTwoSteps
    AbandonsInTwoSteps
    TakesOverInTwoSteps
    ReplacesWhatHasExpiredInTwoSteps
    PurgesInTwoSteps
    HoldsItsLockWhereItIsDropped
}

use Flaw::*;

/// What a slot does, but for the flaw.
struct Wrong {
    flaw: Flaw,
    slots: Mutex<HashMap<Vec<u8>, Slot>>,
    began: Instant,
    busy: Mutex<BTreeSet<Vec<u8>>>,
    /// The tokens that were ever granted a name.
    granted: Mutex<BTreeSet<(Vec<u8>, [u8; 16])>>,
}

impl Wrong {
    fn new(flaw: Flaw) -> Self {
        let (slots, busy, granted) = Default::default();
        Self { flaw, slots, busy, granted, began: Instant::now() }
    }

    fn now(&self) -> Duration {
        // So that what counts from another instant than the beginning is seen.
        Duration::from_secs(1000) + (Instant::now() - self.began)
    }

    fn name(&self, id: &RecordId) -> Vec<u8> {
        let mut name = id.as_bytes().to_vec();
        match self.flaw {
            IgnoresScopes => name = id.key().to_vec(),
            JoinsWithAColon => name = [id.scope(), b":", id.key()].concat(),
            FoldsCase => name.make_ascii_lowercase(),
            EndsNamesAtNul => {
                let end = |part: &[u8]| part.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
                name = [end(id.scope()).unwrap(), vec![0], end(id.key()).unwrap()].concat();
            }
            ReadsNamesAsText => name = String::from_utf8_lossy(&name).into_owned().into_bytes(),
            CutsLongNames => name.truncate(255),
            TrimsSpaces => {
                let key = id.key().trim_ascii();
                name = [&[id.scope().len() as u8], id.scope(), key].concat();
            }
            _ => {}
        }
        name
    }

    fn with<T>(&self, id: &RecordId, change: impl FnOnce(&mut Slot, Duration) -> T) -> T {
        let mut slots = self.slots.lock().unwrap();
        let slot = slots.entry(self.name(id)).or_default();
        // So that a flaw sees a record only as long as there is one.
        let now = self.now();
        if !(self.flaw == LooksPastTheEnd || self.flaw == BringsBackByACompletion) {
            slot.purge(now);
        }
        change(slot, now)
    }

    /// The change decided on a record that may have changed since.
    async fn in_two_steps<T>(
        &self,
        flaw: Flaw,
        id: &RecordId,
        change: impl FnOnce(&mut Slot, Duration) -> T,
    ) -> T {
        if self.flaw != flaw {
            return self.with(id, change);
        }
        self.surely_in_two_steps(id, change).await
    }

    async fn surely_in_two_steps<T>(
        &self,
        id: &RecordId,
        change: impl FnOnce(&mut Slot, Duration) -> T,
    ) -> T {
        let mut seen = self.with(id, |slot, _| slot.clone());
        yield_now().await;
        let changed = change(&mut seen, self.now());
        self.with(id, |slot, _| *slot = seen);
        changed
    }

    fn span(&self, time: Duration) -> Duration {
        match self.flaw {
            TakesZeroForNoLimit if time.is_zero() => Duration::MAX,
            _ => time,
        }
    }

    fn own(&self, slot: &Slot, flaw: Flaw, token: ClaimToken) -> ClaimToken {
        match &slot.0 {
            Some(record) if self.flaw == flaw && flaw != Sound => record.token,
            Some(record) if self.flaw == ComparesHalfOfTokens => {
                let is_same = record.token.to_bytes()[..8] == token.to_bytes()[..8];
                if is_same { record.token } else { token }
            }
            _ => token,
        }
    }

    fn claim_terms(&self, slot: &Slot, terms: &ClaimTerms, now: Duration) -> ClaimTerms {
        let mut terms = *terms;
        if self.flaw == CountsMillisecondsIn32Bits {
            let cut = |time: Duration| Duration::from_millis(u64::from(time.as_millis() as u32));
            (terms.lease, terms.retention) = (cut(terms.lease), cut(terms.retention));
        }
        if self.flaw == CountsLeasesInWholeSeconds {
            terms.lease = Duration::from_secs(terms.lease.as_secs());
        }
        (terms.lease, terms.retention) = (self.span(terms.lease), self.span(terms.retention));
        if self.flaw == CountsSecondsIn16Bits {
            terms.lease = terms.lease.min(Duration::from_secs(u64::from(u16::MAX)));
        }
        terms.token = self.own(slot, Sound, terms.token);
        let Some(record) = &slot.0 else { return terms };
        let is_own = record.token == terms.token;
        let hides_print = match self.flaw {
            ComparesHalfOfFingerprints => {
                record.fingerprint.to_bytes()[..16] == terms.fingerprint.to_bytes()[..16]
            }
            ChecksFingerprintsAfterTheEnd => matches!(record.state, State::Done { .. }),
            ChecksFingerprintsAfterTheLease => match record.state {
                State::InFlight { lease_until } => lease_until > now,
                _ => false,
            },
            ChecksNoFingerprintOfItsOwnToken => is_own,
            _ => false,
        };
        if hides_print {
            terms.fingerprint = record.fingerprint;
        }
        match self.flaw {
            IgnoresThePolicy => terms.on_abandoned = OnAbandoned::Takeover,
            NeverTakesOver => terms.on_abandoned = OnAbandoned::Refuse,
            _ => {}
        }
        terms
    }

    /// What a claim does to the slot beside what it should do.
    fn spoil_claim(&self, slot: &mut Slot, before: &Slot, terms: &ClaimTerms, now: Duration) {
        let (Some(record), before) = (&mut slot.0, before.0.as_ref()) else { return };
        let was_own = before.is_some_and(|before| before.token == terms.token);
        let is_taken = record.token == terms.token && before.is_some() && !was_own;
        match self.flaw {
            ExpiresWithTheLease if record.token == terms.token => {
                if let State::InFlight { lease_until } = record.state {
                    record.expires_at = lease_until;
                }
            }
            DoesNotProlongByARepeatedClaim if was_own => *record = before.unwrap().clone(),
            DoesNotProlongTheRecordByARepeatedClaim if was_own => {
                record.expires_at = before.unwrap().expires_at;
            }
            CutsALeaseShortByARepeatedClaim if was_own => {
                record.state = State::InFlight { lease_until: now.saturating_add(terms.lease) };
            }
            DoesNotProlongTheRecordByATakeover if is_taken => {
                record.expires_at = before.unwrap().expires_at;
            }
            TakesOverWithoutALease if is_taken => {
                record.state = State::InFlight { lease_until: now };
            }
            CountsAgeFromTheTakeover if is_taken => record.claimed_at = now,
            CountsAttemptsFromOneAgain if is_taken => record.attempt = 1.try_into().unwrap(),
            _ => {}
        }
    }
}

fn end_lease(slot: &mut Slot, now: Duration) {
    if let Some(Record { state, .. }) = &mut slot.0 {
        match state {
            State::InFlight { lease_until } | State::Abandoned { lease_until } => {
                *lease_until = now.min(*lease_until);
            }
            State::Done { .. } => {}
        }
    }
}

fn lease_until(slot: &Slot) -> Option<Duration> {
    match slot.0.as_ref()?.state {
        State::InFlight { lease_until } => Some(lease_until),
        _ => None,
    }
}

fn is_done(slot: &Slot) -> bool {
    matches!(slot.0, Some(Record { state: State::Done { .. }, .. }))
}

fn is_abandoned(slot: &Slot) -> bool {
    matches!(slot.0, Some(Record { state: State::Abandoned { .. }, .. }))
}

impl Store for Wrong {
    async fn claim(&self, id: &RecordId, terms: &ClaimTerms) -> Result<ClaimReply, StoreError> {
        if self.flaw == HoldsItsLockWhereItIsDropped {
            let name = self.name(id);
            while !self.busy.lock().unwrap().insert(name.clone()) {
                tokio::time::sleep(MS).await;
            }
            yield_now().await;
            self.busy.lock().unwrap().remove(&name);
        }
        let name = (self.name(id), terms.token.to_bytes());
        let two_steps = match self.flaw {
            ClaimsInTwoSteps => true,
            TakesOverInTwoSteps => self.with(id, |slot, now| {
                lease_until(slot).is_some_and(|until| until <= now) || is_abandoned(slot)
            }),
            // `with` would remove it.
            ReplacesWhatHasExpiredInTwoSteps => {
                let slots = self.slots.lock().unwrap();
                let record = slots.get(&name.0).and_then(|slot| slot.0.as_ref());
                record.is_some_and(|record| record.is_expired(self.now()))
            }
            _ => false,
        };
        let claim = |slot: &mut Slot, now| {
            let terms = self.claim_terms(slot, terms, now);
            let before = slot.clone();
            let is_own = before.0.as_ref().is_some_and(|record| record.token == terms.token);
            match self.flaw {
                GrantsAgainWhatItHasOnceGranted
                    if !is_own && self.granted.lock().unwrap().contains(&name) =>
                {
                    return ClaimReply::Claimed { attempt: 1.try_into().unwrap() };
                }
                RefusesARepeatedClaimThatIsLate
                    if is_own && lease_until(slot).is_some_and(|until| until <= now) =>
                {
                    return ClaimReply::Abandoned;
                }
                RefusesARepeatedClaim if is_own && lease_until(slot).is_some() => {
                    return ClaimReply::InFlight { left: lease_until(slot).unwrap() - now };
                }
                RunsAClaimAgainAfterItsAbandonment if is_own && is_abandoned(slot) => {
                    return ClaimReply::Claimed { attempt: 1.try_into().unwrap() };
                }
                TakesOverBeforeTheLeaseEnds if terms.on_abandoned == OnAbandoned::Takeover => {
                    end_lease(slot, now);
                }
                TakesOverAnAbandonedClaimAtOnce if is_abandoned(slot) => end_lease(slot, now),
                FreesFingerprintsWhenAbandoned if is_abandoned(slot) => {
                    slot.0.as_mut().unwrap().fingerprint = terms.fingerprint;
                }
                _ => {}
            }
            let reply = slot.claim(&terms, now);
            if matches!(reply, ClaimReply::Claimed { .. }) {
                self.spoil_claim(slot, &before, &terms, now);
                self.granted.lock().unwrap().insert(name.clone());
            }
            reply
        };
        let reply = match two_steps {
            true => self.surely_in_two_steps(id, claim).await,
            false => self.with(id, claim),
        };
        Ok(match (self.flaw, reply) {
            (CountsAttemptsFromOneAgain, ClaimReply::Claimed { .. }) => {
                ClaimReply::Claimed { attempt: 1.try_into().unwrap() }
            }
            (_, reply) => reply,
        })
    }

    async fn renew(
        &self,
        id: &RecordId,
        token: ClaimToken,
        lease: Duration,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let change = self.in_two_steps(RenewsInTwoSteps, id, |slot, now| {
            let token = self.own(slot, RenewsForAnyToken, token);
            let before = slot.clone();
            let until = lease_until(slot);
            match self.flaw {
                DoesNotRenewLate if until.is_some_and(|until| until <= now) => return Change::Lost,
                RenewsWhatIsAbandoned if is_abandoned(slot) => {
                    if let Some(Record { state, .. }) = &mut slot.0 {
                        *state = State::InFlight { lease_until: now };
                    }
                }
                RenewsShorter if until.is_some() => end_lease(slot, now),
                _ => {}
            }
            let change = slot.renew(token, self.span(lease), self.span(retention), now);
            if let (Some(record), Some(before), Change::Applied) = (&mut slot.0, before.0, change) {
                match self.flaw {
                    RenewsNothing => *record = before,
                    DoesNotProlongTheRecordByARenewal => record.expires_at = before.expires_at,
                    ExpiresWithTheLease => record.expires_at = now.saturating_add(lease),
                    CutsTheRecordShortByARenewal => {
                        record.expires_at = now.saturating_add(lease).saturating_add(retention);
                    }
                    RenewsFromTheLastEnd => {
                        let lease_until = until.unwrap().saturating_add(lease);
                        record.state = State::InFlight { lease_until };
                        record.expires_at = lease_until.saturating_add(retention);
                    }
                    _ => {}
                }
            }
            change
        });
        Ok(change.await)
    }

    async fn complete(
        &self,
        id: &RecordId,
        token: ClaimToken,
        reply: Bytes,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let change = self.in_two_steps(CompletesInTwoSteps, id, |slot, now| {
            let token = self.own(slot, CompletesForAnyToken, token);
            let until = lease_until(slot);
            let is_own = slot.0.as_ref().is_some_and(|record| record.token == token);
            let expires_at = slot.0.as_ref().map(|record| record.expires_at);
            let reply = match self.flaw {
                CutsReplies => reply.slice(..reply.len().min(65_536)),
                ReadsRepliesAsText => String::from_utf8_lossy(&reply).into_owned().into(),
                HasNoEmptyReply if reply.is_empty() => "null".into(),
                _ => reply,
            };
            match self.flaw {
                CompletesAgain if is_own && is_done(slot) => {
                    slot.0.as_mut().unwrap().state = State::InFlight { lease_until: now };
                }
                RefusesARepeatedCompletion if is_done(slot) => return Change::Lost,
                DoesNotCompleteLate if until.is_some_and(|until| until <= now) => {
                    return Change::Lost;
                }
                DoesNotCompleteWhatIsAbandoned if is_abandoned(slot) => return Change::Lost,
                BringsBackByACompletion if is_own => {
                    slot.0.as_mut().unwrap().expires_at = Duration::MAX;
                }
                _ => {}
            }
            let (was_abandoned, was_done) = (is_abandoned(slot), is_done(slot));
            let change = slot.complete(token, reply, self.span(retention), now);
            if let (Some(record), Change::Applied) = (&mut slot.0, change) {
                match self.flaw {
                    ForgetsAtOnceWhatIsDone => record.expires_at = now + MS,
                    KeepsWhatIsDoneAsLongAsItsClaim => record.expires_at = expires_at.unwrap(),
                    KeepsWhatWasAbandonedAndIsDoneAsLongAsItsClaim if was_abandoned => {
                        record.expires_at = expires_at.unwrap();
                    }
                    ProlongsWhatIsDoneByARepeatedCompletion if was_done => {
                        record.expires_at = now.saturating_add(retention);
                    }
                    KeepsWhatIsDoneForEver => record.expires_at = Duration::MAX,
                    CountsMillisecondsIn32Bits => {
                        let millis = u64::from(retention.as_millis() as u32);
                        record.expires_at = now + Duration::from_millis(millis);
                    }
                    _ => {}
                }
            }
            change
        });
        Ok(change.await)
    }

    async fn release(&self, id: &RecordId, token: ClaimToken) -> Result<Change, StoreError> {
        let change = self.in_two_steps(ReleasesInTwoSteps, id, |slot, now| {
            let token = self.own(slot, ReleasesForAnyToken, token);
            let is_own = slot.0.as_ref().is_some_and(|record| record.token == token);
            let until = lease_until(slot);
            match self.flaw {
                RefusesARepeatedRelease if slot.0.is_none() => return Change::Lost,
                DoesNotReleaseLate if until.is_some_and(|until| until <= now) => {
                    return Change::Lost;
                }
                DoesNotReleaseWhatIsAbandoned if is_abandoned(slot) => return Change::Lost,
                ReleasesWhatIsDone | FreesAfterATakeover
                    if is_own && (is_done(slot) == (self.flaw == ReleasesWhatIsDone)) =>
                {
                    slot.0 = None;
                }
                _ => {}
            }
            let change = slot.release(token, now);
            if self.flaw == HoldsTheLeaseOfARelease
                && let (Some(Record { state, .. }), Some(lease_until)) = (&mut slot.0, until)
            {
                *state = State::Abandoned { lease_until };
            }
            change
        });
        Ok(change.await)
    }

    async fn abandon(
        &self,
        id: &RecordId,
        token: ClaimToken,
        retention: Duration,
    ) -> Result<Change, StoreError> {
        let change = self.in_two_steps(AbandonsInTwoSteps, id, |slot, now| {
            let token = self.own(slot, AbandonsForAnyToken, token);
            let is_own = slot.0.as_ref().is_some_and(|record| record.token == token);
            let expires_at = slot.0.as_ref().map(|record| record.expires_at);
            match self.flaw {
                AbandonsWhatIsDone if is_own && is_done(slot) => {
                    slot.0.as_mut().unwrap().state = State::Abandoned { lease_until: now };
                }
                RefusesARepeatedAbandonment if is_abandoned(slot) => return Change::Lost,
                _ => {}
            }
            if self.flaw == DoesNotAbandonLate && lease_until(slot).is_some_and(|end| end <= now) {
                return Change::Lost;
            }
            let change = slot.abandon(token, retention, now);
            if self.flaw == CutsTheRecordShortByAnAbandonment && is_abandoned(slot) {
                slot.0.as_mut().unwrap().expires_at = now + retention;
            }
            if self.flaw == EndsTheLeaseOfWhatIsAbandoned && is_abandoned(slot) {
                end_lease(slot, now);
            }
            if let (KeepsAnAbandonedRecordAsLongAsItsClaim, Some(record)) = (self.flaw, &mut slot.0)
            {
                record.expires_at = expires_at.unwrap();
            }
            change
        });
        Ok(change.await)
    }

    async fn look(&self, id: &RecordId) -> Result<Option<View>, StoreError> {
        Ok(self.with(id, |slot, now| {
            let at = if self.flaw == LooksPastTheEnd { Duration::from_secs(1000) } else { now };
            let mut view = slot.look(at)?;
            if self.flaw == LooksPastALease && lease_until(slot).is_some() {
                view.state = ViewState::InFlight { left: Duration::ZERO };
            }
            if self.flaw == ShowsTheRetentionInPlaceOfWhatIsLeft {
                view.expires_in = Duration::from_secs(3600 * 2);
            }
            Some(view)
        }))
    }

    async fn forget(&self, id: &RecordId) -> Result<bool, StoreError> {
        Ok(self.with(id, |slot, now| match self.flaw {
            ForgetsOnlyWhatIsDone if !is_done(slot) => slot.0.is_some(),
            ForgetsWhatWasNeverThere => {
                slot.forget(now);
                true
            }
            ForgetsNothing => slot.0.is_some(),
            _ => slot.forget(now),
        }))
    }

    async fn purge_expired(&self, most: usize) -> Result<usize, StoreError> {
        let now = self.now();
        if self.flaw == PurgesInTwoSteps {
            let due = |(name, slot): (&Vec<u8>, &Slot)| {
                let is_expired = slot.0.as_ref().is_some_and(|record| record.is_expired(now));
                is_expired.then(|| name.clone())
            };
            let due: Vec<_> = self.slots.lock().unwrap().iter().filter_map(due).collect();
            yield_now().await;
            let mut slots = self.slots.lock().unwrap();
            let gone = due.iter().take(most).filter(|name| slots.remove(*name).is_some());
            return Ok(gone.count());
        }
        let mut slots = self.slots.lock().unwrap();
        let (mut purged, most) =
            (0, if self.flaw == PurgesMoreThanItIsTold { usize::MAX } else { most });
        for slot in slots.values_mut() {
            if purged == most {
                break;
            }
            let is_over = lease_until(slot).is_some_and(|until| until <= now) || is_abandoned(slot);
            let is_purged = match self.flaw {
                PurgesWhatIsAbandoned if is_over => slot.forget(now),
                PurgesWhatIsDone if is_done(slot) => slot.forget(now),
                PurgesWhatIsInFlight if lease_until(slot).is_some() => slot.forget(now),
                _ => slot.purge(now),
            };
            purged += usize::from(is_purged);
        }
        Ok(purged)
    }

    async fn census(&self) -> Result<Option<Census>, StoreError> {
        let (mut census, now) = (Census::default(), self.now());
        for slot in self.slots.lock().unwrap().values() {
            let has_ended = lease_until(slot).is_some_and(|until| until <= now);
            match self.flaw {
                CountsLeasesThatEndedAsInFlight if has_ended => census.in_flight += 1,
                CountsOnlyWhatWasSaidToBeAbandoned if has_ended => {}
                CountsOnlyWhatIsAbandoned if !has_ended && !is_abandoned(slot) => {}
                _ => census.count(slot, now),
            }
        }
        if self.flaw == CountsAgeFromTheEndOfTheLease {
            census.oldest = Some(Duration::ZERO);
        }
        Ok(Some(census))
    }
}

macro_rules! promises {
    ($($promise:ident)+) => {
        const PROMISES: &[&str] = &[$(stringify!($promise)),+];

        /// The promises that a store with this flaw does not keep.
        async fn broken(flaw: Flaw) -> Vec<&'static str> {
            let mut broken = Vec::new();
            $(
                let promise = contract::$promise(async || Wrong::new(flaw));
                // A store that hangs has failed too.
                let promise = tokio::time::timeout(Duration::from_secs(86_400), promise);
                let kept = AssertUnwindSafe(promise).catch_unwind().await;
                if !matches!(kept, Ok(Ok(()))) {
                    broken.push(stringify!($promise));
                }
            )+
            broken
        }
    };
}

promises! {
    a_claim_is_granted_once
    a_claim_repeated_with_its_token_is_the_same_claim
    a_claim_that_arrives_again_after_its_end_runs_nothing
    another_payload_is_told_so_in_every_state
    a_completion_may_be_repeated_and_the_first_reply_stays
    a_reply_comes_back_byte_for_byte
    a_release_frees_the_key_and_may_be_repeated
    an_abandoned_key_is_refused_or_taken_over_after_its_lease
    a_claims_record_outlives_its_lease
    a_renewed_claim_outlives_its_first_lease
    an_owner_that_is_late_keeps_its_claim_until_it_is_taken_over
    a_zombie_changes_nothing
    a_release_after_a_takeover_keeps_payload_and_attempts
    a_record_that_has_expired_is_as_if_it_had_never_been
    neither_scopes_nor_keys_are_confused
    an_operator_looks_and_forgets
    of_many_racers_one_is_granted_the_claim
    whatever_comes_in_a_row_is_answered_as_by_a_slot
    what_is_done_is_kept_for_the_retention_of_its_completion
    a_record_lives_as_long_as_the_last_word_of_its_owner_asks
    no_word_cuts_short_what_another_has_asked_for
    an_owner_that_is_late_can_say_how_it_ended
    payloads_and_tokens_are_told_apart_by_every_byte
    leases_and_retentions_of_ten_years_are_held
    a_lease_is_no_shorter_than_it_was_asked_for
    a_span_of_nothing_is_over_at_once_and_one_without_an_end_is_held
    a_call_that_is_dropped_is_applied_or_not_and_holds_up_no_other
    of_a_late_owner_and_a_taker_only_one_is_answered
    of_many_racers_for_what_has_ended_one_is_granted_it
    a_purge_takes_nothing_that_was_claimed_meanwhile
    a_census_finds_what_is_in_flight_and_what_is_abandoned
}

#[tokio::test(start_paused = true)]
async fn every_store_that_is_wrong_breaks_a_promise_and_one_that_is_not_breaks_none() {
    assert_eq!(broken(Sound).await, <[&str; 0]>::default());
    let mut unseen = Vec::new();
    for &flaw in FLAWS {
        if broken(flaw).await.is_empty() {
            unseen.push(flaw);
        }
    }
    assert!(unseen.is_empty(), "{} of {}: {unseen:?}", unseen.len(), FLAWS.len());
}

#[test]
fn every_promise_of_the_contract_is_among_those_that_are_tried_and_has_a_test() {
    let files = [
        include_str!("../../src/contract.rs"),
        include_str!("../../src/contract/edges.rs"),
        include_str!("../../src/contract/leases.rs"),
        include_str!("../../src/contract/races.rs"),
    ];
    let written = files.iter().flat_map(|file| file.split("pub async fn ").skip(1));
    let written: BTreeSet<_> = written.map(|text| text.split('<').next().unwrap()).collect();
    assert_eq!(written, PROMISES.iter().copied().collect());
    for promise in PROMISES {
        assert_eq!(files[0].matches(&format!("\n            {promise}\n")).count(), 1, "{promise}");
    }
}
