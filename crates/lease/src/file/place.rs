//! Where the file of a name is.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use rustix::fs::statfs;
use steadfast_core::Executed;

use crate::{LeaseName, StoreError};

/// What a file system takes as one name is 255 bytes: of these are so many the name's, encoded.
const LONGEST_PART: usize = 200;

/// The file of this name. Lower-case letters, digits, `-` and `_` stand for themselves, all other
/// bytes are `%` and two digits: a case that the file system does not keep makes no difference. A
/// name that is too long goes on within a directory.
pub(super) fn of(directory: &Path, name: &LeaseName) -> PathBuf {
    let mut encoded = String::with_capacity(name.as_str().len());
    for byte in name.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(byte.into()),
            _ => {
                let _ = write!(encoded, "%{byte:02x}");
            }
        }
    }
    let (mut path, mut rest) = (directory.to_owned(), encoded.as_str());
    while rest.len() > LONGEST_PART {
        let (part, further) = rest.split_at(LONGEST_PART);
        // No name of a file ends so.
        path.push(format!("{part}+"));
        rest = further;
    }
    path.push(format!("{rest}.lease"));
    path
}

/// What `statfs` says of file systems that other machines, or a host with a clock of its own, may
/// share: their locks or their clocks are not this machine's.
const SHARED: [(u32, &str); 11] = [
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x6573_5546, "FUSE"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
];

pub(super) fn refuse_shared(directory: &Path) -> Result<(), StoreError> {
    let stat = statfs(directory).map_err(|error| {
        StoreError::unavailable(Executed::No).because(std::io::Error::from(error))
    })?;
    match kind(stat.f_type as u64) {
        None => Ok(()),
        Some(kind) => Err(StoreError::misconfigured().because(format!(
            "the directory is on {kind}, which other machines may share: locks and clocks are not"
        ))),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the numbers have 32 bits, whatever holds them"
)]
fn kind(number: u64) -> Option<&'static str> {
    let number = number as u32;
    SHARED.iter().find(|(shared, _)| *shared == number).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn path(name: &str) -> String {
        let path = of(Path::new("/d"), &LeaseName::new(name).unwrap());
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_name_is_one_file_in_the_directory_whatever_its_characters() {
        assert_eq!(path("orders"), "/d/orders.lease");
        assert_eq!(path("../a/B"), "/d/%2e%2e%2fa%2f%42.lease");
        assert_eq!(path("\0 é"), "/d/%00%20%c3%a9.lease");
        let longest = path(&"é".repeat(127));
        assert!(longest.split('/').all(|part| part.len() < 255), "{longest}");
        // One is no beginning of the other's.
        let long = "x".repeat(200);
        let names = [long.clone(), format!("{long}y"), format!("{long}+"), "x".repeat(255)];
        let paths: HashSet<_> = names.iter().map(|name| path(name)).collect();
        assert_eq!(paths.len(), 4, "{paths:?}");
        assert_eq!(path(&format!("{long}y")), format!("/d/{long}+/y.lease"));
    }

    #[test]
    fn a_file_system_that_machines_share_is_refused_by_its_name() {
        assert_eq!(kind(0x6969), Some("NFS"));
        // As a signed word holds it.
        assert_eq!(kind(0xff53_4d42_u32.cast_signed() as u64), Some("CIFS"));
        assert_eq!(kind(0xef53), None, "ext4");
        refuse_shared(&std::env::temp_dir()).unwrap();
    }
}
