//! Whole numbers with a least and a most.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::node::{Node, Value};
use super::wire::{Reader, Wire, in_quotes};

/// A whole number from 1 to `MOST`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count<const MOST: u32>(pub u32);

/// How often a setting may be set back before it is left alone.
pub(super) type Reversals = Count<100>;

/// How many reads have to agree.
pub(super) type AgreeingReads = Count<10>;

impl<const MOST: u32> Wire for Count<MOST> {
    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let number = match &node.value {
            Value::Number(number) => number.parse().ok().filter(|number| (1..=MOST).contains(number)),
            _ => None,
        };
        if number.is_none() {
            let quoted = matches!(&node.value, Value::Text(text) if text.parse::<u32>().is_ok());
            reader.wrong_type(node, &format!("a whole number from 1 to {MOST}"), quoted.then(in_quotes));
        }
        number.map(Self)
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": MOST })
    }
}
