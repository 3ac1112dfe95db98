//! A value of the settings that is written as fields, and what is said where something else stands in its place.
//!
//! The parser's own words name neither the field nor what is wanted, and those of serde repeat the value, which may be a
//! secret.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The methods of a visitor that takes neither numbers nor booleans, nothing or a list. Those that serde provides repeat the
/// value, and the parser gives their errors no place.
macro_rules! refuse_scalars_and_lists {
    ($wanted:expr) => {
        $crate::settings::fields::refuse_scalars_and_lists!($wanted, visit_bool: bool, visit_i64: i64, visit_u64: u64,
            visit_i128: i128, visit_u128: u128, visit_f64: f64);

        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Err(E::custom($wanted))
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(serde::de::Error::custom($wanted))
        }
    };
    ($wanted:expr, $($visit:ident: $type:ty),+) => { $(
        fn $visit<E: serde::de::Error>(self, _: $type) -> Result<Self::Value, E> {
            Err(E::custom($wanted))
        }
    )+ };
}

pub(super) use refuse_scalars_and_lists;

/// What is written as fields.
pub(super) trait Group: DeserializeOwned {
    /// What is said where it is not.
    const WANTED: &'static str;
}

/// Reads a [`Group`].
pub(super) struct Fields<T>(pub T);

/// Reads a [`Group`] that may be left out.
pub(super) fn fields<'de, T: Group, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Fields<T>>::deserialize(deserializer)?.map(|Fields(group)| group))
}

impl<'de, T: Group> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Mapping(PhantomData))
    }
}

struct Mapping<T>(PhantomData<T>);

impl<'de, T: Group> Visitor<'de> for Mapping<T> {
    type Value = Fields<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fields<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Fields)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Fields<T>, E> {
        Err(E::custom(T::WANTED))
    }

    refuse_scalars_and_lists!(T::WANTED);
}
