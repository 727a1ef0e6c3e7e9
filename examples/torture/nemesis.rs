//! Does what the plan says, one fault after the other.

use std::{collections::BTreeMap, sync::Arc};

use steadfast::{BootClock, BootInstant};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    Failure, SEATS,
    history::Span,
    place::Act,
    plan::{Fault, Plan, Planned},
    troupe::Troupe,
};

/// How often each fault was there.
pub(crate) type Counts = BTreeMap<Fault, u32>;

/// Plays the plan to its end.
pub(crate) async fn play(troupe: Arc<Troupe>, plan: Plan) -> Result<Counts, Failure> {
    let (began, mut counts) = (Instant::now(), Counts::new());
    for planned in plan.faults {
        sleep_until(began + planned.at).await;
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
            place.to_leases(if is_kill { Act::Kill } else { Act::Stop }, which);
            let from = now();
            sleep(lasts).await;
            let to = now();
            if place.has_one_server() {
                troupe.history().outages.push(Span { from, to });
            }
            place.to_leases(if is_kill { Act::Restart } else { Act::Resume }, which);
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
            place.to_leases(Act::Kill, which);
            place.forget()?;
            place.to_leases(Act::Restart, which);
            troupe.history().breaches.push(Span { from, to: now() });
            sleep(lasts).await;
        }
    }
    Ok(true)
}

fn now() -> BootInstant {
    BootClock::system().now()
}
