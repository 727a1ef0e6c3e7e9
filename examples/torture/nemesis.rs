//! Does what the plan says, one fault after the other.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use steadfast::{BootClock, BootInstant};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    Failure, SEATS, VALIDITY,
    history::Span,
    place::Act,
    plan::{Fault, Plan, Planned},
    troupe::Troupe,
};

const LATE: Duration = Duration::from_secs(1);
/// How often a clock is set back in vain until it stays as it is.
const TRIES: u32 = 10;
/// How often it is seen whether a lease was renewed.
const LOOK: Duration = Duration::from_millis(50);
/// Twice as long as a lease lasts.
const LOOKS: u32 = 40;

/// How often each fault was there.
pub(crate) type Counts = BTreeMap<Fault, u32>;

/// Plays the plan to its end.
///
/// Faults can take longer than is planned, where a server is slow to start. Those that are late
/// then are left out, and so are those that would come behind the end.
pub(crate) async fn play(troupe: Arc<Troupe>, plan: Plan) -> Result<Counts, Failure> {
    let (began, mut counts) = (Instant::now(), Counts::new());
    let end = began + plan.span;
    for planned in plan.faults {
        sleep_until(began + planned.at).await;
        let now = Instant::now();
        if now > began + planned.at + LATE || now + planned.lasts > end {
            continue;
        }
        if strike(&troupe, planned).await? {
            *counts.entry(planned.fault).or_default() += 1;
        }
    }
    Ok(counts)
}

/// From its beginning to its end. False if there was nothing that it could be done to.
async fn strike(troupe: &Troupe, planned: Planned) -> Result<bool, Failure> {
    let Planned { lasts, fault, which, .. } = planned;
    let place = &troupe.place;
    // The holder's seat, or one that was drawn while there is none.
    let seat = troupe.history().holder().unwrap_or(which) % SEATS;
    match fault {
        Fault::KillHolder => {
            troupe.kill(seat);
            sleep(lasts).await;
            troupe.start(seat)?;
        }
        Fault::StopHolder => {
            let Some(number) = troupe.number(seat).filter(|number| troupe.stop(*number)) else {
                return Ok(false);
            };
            sleep(lasts).await;
            troupe.wake(number);
        }
        Fault::KillServer | Fault::StopServer => {
            let is_kill = fault == Fault::KillServer;
            let before = now();
            place.to_leases(if is_kill { Act::Kill } else { Act::Stop }, which);
            let from = now();
            sleep(lasts).await;
            let to = now();
            if place.has_one_server() {
                troupe.history().outages.push(Span { from, to });
            }
            place.to_leases(if is_kill { Act::Restart } else { Act::Resume }, which);
            if is_kill && place.is_lax() {
                troupe.history().breaches.push(Span { from: before, to: now() });
            }
        }
        Fault::KillRegisters => {
            place.to_registers(Act::Kill)?;
            sleep(lasts).await;
            place.to_registers(Act::Restart)?;
        }
        Fault::StopRegisters => {
            place.to_registers(Act::Stop)?;
            sleep(lasts).await;
            place.to_registers(Act::Resume)?;
        }
        Fault::Cut(_) | Fault::Delay(_) | Fault::NoWayThere(_) | Fault::NoWayBack(_) => {
            troupe.links.fail(fault, seat).await;
            sleep(lasts).await;
            troupe.links.heal(seat).await;
        }
        Fault::Forget => {
            let from = now();
            place.forget();
            troupe.history().breaches.push(Span { from, to: now() });
            sleep(lasts).await;
        }
        Fault::Promote => {
            let Some(replica) = place.replica() else { return Ok(false) };
            sleep(lasts).await;
            let from = now();
            place.promote(replica);
            troupe.links.lead_to(&place.leases()).await?;
            troupe.history().breaches.push(Span { from, to: now() });
        }
        Fault::Step(by) => {
            set_clock(troupe, by);
            sleep(lasts).await;
            set_clock_back(troupe, -by).await;
        }
    }
    Ok(true)
}

/// A step forward ends leases before their time, as documented.
fn set_clock(troupe: &Troupe, by: i64) {
    let from = now();
    troupe.place.step(by);
    if by > 0 {
        troupe.history().breaches.push(Span { from, to: now() });
    }
}

/// Behind a step back a lease whose holder does not renew it, because it is dead or stopped, lasts
/// for as long as the step: also as documented, and the end of all that there is to see. So a step
/// back is undone, and made again, until a holder has renewed its lease behind it.
async fn set_clock_back(troupe: &Troupe, by: i64) {
    for _ in 0..TRIES {
        set_clock(troupe, by);
        if by > 0 {
            return;
        }
        let from = now().saturating_add(VALIDITY);
        for _ in 0..LOOKS {
            sleep(LOOK).await;
            // What is claimed so late was granted or renewed since.
            if troupe.history().claims.last().is_some_and(|claim| claim.at > from) {
                return;
            }
        }
        set_clock(troupe, -by);
        sleep(LOOK * 10).await;
    }
}

fn now() -> BootInstant {
    BootClock::system().now()
}
