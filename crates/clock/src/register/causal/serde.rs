//! A causal register as a serde value: what was seen, and the write. What is read is checked, for
//! it may come from anybody; what is written can be read again.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use super::{CausalRegister, Write};
use crate::{CausalityError, VersionVector, vector};

/// A register as it is written.
#[derive(Serialize)]
#[serde(rename = "CausalRegister")]
struct Written<'a, T> {
    #[serde(serialize_with = "vector::serde::whole")]
    seen: &'a VersionVector,
    written: &'a Option<Write<T>>,
}

/// A register as it was read, before it is checked.
#[derive(Deserialize)]
#[serde(rename = "CausalRegister")]
struct Parts<T> {
    #[serde(deserialize_with = "vector::serde::of_any_size")]
    seen: VersionVector,
    written: Option<Write<T>>,
}

impl<T> Parts<T> {
    /// Whether a register can hold it: no value without a place in what was seen, nor with a stamp
    /// of another node.
    fn is_sound(&self) -> bool {
        let Some(Write { dot, stamp, version, .. }) = &self.written else {
            return self.seen.is_empty();
        };
        version.count(dot.node) == dot.counter
            && stamp.node == dot.node
            && self.seen.dominates(version)
    }
}

impl<T> CausalRegister<T> {
    /// Writes a register that has seen at most so many nodes. For `serialize_with`.
    ///
    /// # Errors
    /// When it has seen more: [`deserialize_within`](Self::deserialize_within) that many could not
    /// read it. When the serializer fails.
    pub fn serialize_within<S>(&self, nodes: usize, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
        S: Serializer,
    {
        let Self { seen, written } = self;
        // The version of the write has no node that was not seen.
        if seen.len() > nodes {
            return Err(S::Error::custom(CausalityError::Full { capacity: nodes }));
        }
        Written { seen, written }.serialize(serializer)
    }

    /// Reads a register with room for `nodes` replicas. For `deserialize_with`.
    ///
    /// It takes memory in proportion to what is read, whatever length is announced: the size of
    /// what may be read is for the caller to limit.
    ///
    /// # Errors
    /// When the deserializer fails, or what it reads is nothing that a register can hold, or does
    /// not fit, which with 0 `nodes` none does.
    pub fn deserialize_within<'de, D>(nodes: usize, deserializer: D) -> Result<Self, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let parts = Parts::deserialize(deserializer)?;
        if !parts.is_sound() {
            return Err(D::Error::custom("the register's vectors do not fit its value"));
        }
        let Parts { seen, written } = parts;
        let within = |vector: VersionVector| vector.with_capacity(nodes).map_err(D::Error::custom);
        let written = match written {
            Some(write) => Some(Write { version: within(write.version)?, ..write }),
            None => None,
        };
        Ok(Self { seen: within(seen)?, written })
    }
}

impl<T: Serialize> Serialize for CausalRegister<T> {
    /// Within the capacity of [`Default`], so that it can be read back.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize_within(VersionVector::DEFAULT_CAPACITY, serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for CausalRegister<T> {
    /// With the capacity of [`Default`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize_within(VersionVector::DEFAULT_CAPACITY, deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeId, Physical, Timestamp};

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let mut register = CausalRegister::new(1000).unwrap();
        for node in 0..257 {
            register.write(NodeId(node), Timestamp::MIN, node).unwrap();
        }
        assert!(
            serde_json::to_string(&register).unwrap_err().to_string().contains("256 nodes is full")
        );
        let mut bytes = Vec::new();
        register.serialize_within(1000, &mut serde_json::Serializer::new(&mut bytes)).unwrap();
        let read = |nodes| {
            CausalRegister::<u64>::deserialize_within(
                nodes,
                &mut serde_json::Deserializer::from_slice(&bytes),
            )
        };
        let mut back = read(1000).unwrap();
        assert_eq!(back, register);
        back.write(NodeId(257), Timestamp::MIN, 257).unwrap();
        assert!(read(256).is_err() && read(0).is_err());
        assert_eq!(
            serde_json::from_slice::<CausalRegister<u64>>(&bytes).unwrap_err().to_string(),
            read(256).unwrap_err().to_string()
        );
        register.prune(|node, _| node.0 > 0);
        let json = serde_json::to_string(&register).unwrap();
        assert_eq!(serde_json::from_str::<CausalRegister<u64>>(&json).unwrap(), register);
    }

    #[test]
    fn a_register_comes_back_from_serde_unless_its_vectors_do_not_fit() {
        let read = |register: &CausalRegister<char>| {
            serde_json::from_str::<CausalRegister<char>>(&serde_json::to_string(register).unwrap())
        };
        let at = |grains| Timestamp::from(Physical::from_grains(grains));
        let mut sound = CausalRegister::default();
        assert_eq!(read(&sound).unwrap(), sound);
        sound.write(NodeId(1), at(1), 'a').unwrap();
        sound.write(NodeId(2), at(2), 'b').unwrap();
        assert_eq!(read(&sound).unwrap(), sound);
        let spoil: [fn(&mut CausalRegister<char>); 6] = [
            |register| register.seen = VersionVector::default(),
            |register| register.written = None,
            |register| register.written.as_mut().unwrap().version = VersionVector::default(),
            |register| register.written.as_mut().unwrap().dot.counter = 0,
            |register| register.written.as_mut().unwrap().dot.node = NodeId(1),
            |register| register.written.as_mut().unwrap().stamp.node = NodeId(1),
        ];
        for spoil in spoil {
            let mut spoilt = sound.clone();
            spoil(&mut spoilt);
            assert!(read(&spoilt).is_err(), "{spoilt:?}");
        }
    }
}
