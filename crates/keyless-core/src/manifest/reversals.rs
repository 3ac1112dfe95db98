//! How often a setting may be set back before it is left alone.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::node::{Node, Value};
use super::wire::{Reader, Wire};

/// A whole number of reversals, from 1 to 100.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reversals(pub u32);

impl Reversals {
    const MOST: u32 = 100;
}

impl Wire for Reversals {
    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let number = match &node.value {
            Value::Number(number) => number.parse().ok().filter(|number| (1..=Self::MOST).contains(number)),
            _ => None,
        };
        if number.is_none() {
            reader.wrong_type(node, &format!("a whole number from 1 to {}", Self::MOST), None);
        }
        number.map(Self)
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": Self::MOST })
    }
}
