//! A jump of the wall clock is an event, and so is a high water that could not be kept ahead.

use steadfast_clock::{Hlc, HlcConfig};
use steadfast_testkit::events;

use crate::{HOUR, MS, manual};

#[test]
fn a_jump_is_one_warning_and_time_that_passes_is_none() {
    let hlc = Hlc::new(manual(), HlcConfig::new().named("orders")).unwrap();
    let lines = events(|| {
        hlc.clock().advance(HOUR);
        hlc.tick();
        hlc.clock().step_back(5000 * MS);
        hlc.tick();
        hlc.tick();
    });
    assert_eq!(
        lines,
        ["WARN steadfast::clock message=the wall clock was set clock=orders jump=Back(5s)"]
    );
}

#[cfg(feature = "tokio")]
#[test]
fn a_high_water_that_could_not_be_kept_ahead_is_a_warning_that_says_why() {
    use steadfast_clock::{
        HighWater, HighWaterError, Keeper, KeeperConfig, PersistentHlc, Timestamp,
    };

    struct Full;

    impl HighWater for Full {
        fn load(&self) -> Result<Option<Timestamp>, HighWaterError> {
            Ok(None)
        }

        fn store(&self, _: Timestamp) -> Result<(), HighWaterError> {
            Err(HighWaterError::Store { action: "stored", source: "no space".into() })
        }
    }

    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let clock = PersistentHlc::open(manual(), HlcConfig::new().named("orders"), Full).unwrap();
    let lines = events(|| {
        runtime.block_on(async {
            let keeper = Keeper::new(&clock, KeeperConfig::new()).unwrap().run();
            tokio::time::timeout(10 * MS, keeper).await.unwrap_err();
        });
    });
    let line = "WARN steadfast::clock message=the high water could not be kept ahead clock=orders";
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with(line) && lines[0].contains("error="), "{lines:?}");
}
