//! Durations as people read them.

use std::{fmt, time::Duration};

/// Writes a duration for people: three digits, or whole seconds where there are more of them, with
/// the unit apart. "5 s", not "4.999999873s"; "1.25 s", "250 ms", "3600 s".
///
/// For messages. What is read by programs keeps its digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounded(pub Duration);

const SECOND: u128 = 1_000_000_000;

/// From the largest on.
const UNITS: [(u128, &str); 4] = [(SECOND, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns")];

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0 s");
        }
        let step = 10u128.pow(nanos.ilog10().saturating_sub(2)).min(SECOND);
        // Rounded before the unit is chosen: 999.9 ms are 1 s.
        let nanos = (nanos + step / 2) / step * step;
        let (unit, name) = UNITS[UNITS.iter().position(|(unit, _)| nanos >= *unit).unwrap_or(3)];
        let (whole, rest) = (nanos / unit, nanos % unit);
        if rest == 0 {
            return write!(f, "{whole} {name}");
        }
        // At most two digits are left behind the point.
        let hundredths = rest * 100 / unit;
        if hundredths.is_multiple_of(10) {
            write!(f, "{whole}.{} {name}", hundredths / 10)
        } else {
            write!(f, "{whole}.{hundredths:02} {name}")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_digits_or_whole_seconds() {
        let nanos = Duration::from_nanos;
        for (duration, written) in [
            (nanos(4_999_999_873), "5 s"),
            (nanos(1_254_900_000), "1.25 s"),
            (nanos(1_050_000_000), "1.05 s"),
            (nanos(12_340_000_000), "12.3 s"),
            (nanos(99_960_000_000), "100 s"),
            (nanos(999_960_000), "1 s"),
            (nanos(250_000_000), "250 ms"),
            (nanos(1_500_000), "1.5 ms"),
            (nanos(800_000), "800 µs"),
            (nanos(999_999), "1 ms"),
            (nanos(7), "7 ns"),
            (Duration::ZERO, "0 s"),
            (nanos(3_661_400_000_000), "3661 s"),
            (Duration::MAX, "18446744073709551616 s"),
        ] {
            assert_eq!(Rounded(duration).to_string(), written);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_within_half_a_percent(nanos in 1u64..) {
            let written = Rounded(Duration::from_nanos(nanos)).to_string();
            let (number, unit) = written.split_once(' ').unwrap();
            let unit = UNITS.iter().find(|(_, name)| *name == unit).unwrap().0;
            let read = number.parse::<f64>().unwrap() * unit as f64;
            prop_assert!((read / nanos as f64 - 1.0).abs() <= 0.00501, "{} {}", nanos, written);
        }
    }
}
