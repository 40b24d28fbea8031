//! A validator for the part of JSON Schema (draft 2020-12) that `share/arete-test.schema.json` uses. It panics on an
//! unknown keyword, so that the schema has no untested rules.

use serde_json::{Map, Value};

use super::pattern;

/// Whether `schema` allows `value`. References are resolved in `root`.
pub fn allows(root: &Value, schema: &Value, value: &Value) -> bool {
    match schema {
        Value::Bool(allowed) => *allowed,
        Value::Object(keywords) => keywords.iter().all(|(key, rule)| keyword(root, keywords, key, rule, value)),
        other => panic!("{other} is not a schema"),
    }
}

fn keyword(root: &Value, schema: &Map<String, Value>, key: &str, rule: &Value, value: &Value) -> bool {
    let here = |rule: &Value| allows(root, rule, value);
    let rules = || rule.as_array().unwrap().iter();
    match key {
        "$schema" | "$id" | "$defs" | "title" | "description" => true,
        "$ref" => {
            here(root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).expect("the reference has a target"))
        }
        "allOf" => rules().all(here),
        "anyOf" => rules().any(here),
        "oneOf" => rules().filter(|rule| here(rule)).count() == 1,
        "type" if rule.is_array() => rules().any(|kind| is(kind.as_str().unwrap(), value)),
        "type" => is(rule.as_str().unwrap(), value),
        "const" => rule == value,
        "enum" => rules().any(|allowed| allowed == value),
        _ => match value {
            Value::Object(members) => of_object(root, schema, key, rule, members),
            Value::Array(items) => of_list(root, key, rule, items),
            Value::String(text) => of_string(key, rule, text),
            Value::Number(number) => of_number(key, rule, number.as_f64().unwrap()),
            _ => true,
        },
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("unknown type {other}"),
    }
}

fn of_object(root: &Value, schema: &Map<String, Value>, key: &str, rule: &Value, members: &Map<String, Value>) -> bool {
    let all_there =
        |keys: &Value| keys.as_array().unwrap().iter().all(|key| members.contains_key(key.as_str().unwrap()));
    let listed = |key: &str| schema.get("properties").is_some_and(|properties| properties.get(key).is_some());
    match key {
        "properties" => {
            let properties = rule.as_object().unwrap();
            properties.iter().all(|(key, rule)| members.get(key).is_none_or(|value| allows(root, rule, value)))
        }
        "additionalProperties" => members.iter().all(|(key, value)| listed(key) || allows(root, rule, value)),
        "propertyNames" => members.keys().all(|key| allows(root, rule, &Value::from(key.as_str()))),
        "required" => all_there(rule),
        "dependentRequired" => {
            rule.as_object().unwrap().iter().all(|(key, needed)| !members.contains_key(key) || all_there(needed))
        }
        "minProperties" => members.len() as u64 >= rule.as_u64().unwrap(),
        "maxProperties" => members.len() as u64 <= rule.as_u64().unwrap(),
        _ => of_others(key),
    }
}

fn of_list(root: &Value, key: &str, rule: &Value, items: &[Value]) -> bool {
    match key {
        "items" => items.iter().all(|item| allows(root, rule, item)),
        "minItems" => items.len() as u64 >= rule.as_u64().unwrap(),
        "maxItems" => items.len() as u64 <= rule.as_u64().unwrap(),
        "uniqueItems" => items.iter().enumerate().all(|(place, item)| !items[..place].contains(item)),
        _ => of_others(key),
    }
}

fn of_string(key: &str, rule: &Value, text: &str) -> bool {
    match key {
        "minLength" => text.chars().count() as u64 >= rule.as_u64().unwrap(),
        "maxLength" => text.chars().count() as u64 <= rule.as_u64().unwrap(),
        "pattern" => pattern::matches(rule.as_str().unwrap(), text),
        _ => of_others(key),
    }
}

fn of_number(key: &str, rule: &Value, number: f64) -> bool {
    match key {
        "minimum" => number >= rule.as_f64().unwrap(),
        "maximum" => number <= rule.as_f64().unwrap(),
        "exclusiveMinimum" => number > rule.as_f64().unwrap(),
        _ => of_others(key),
    }
}

/// Allows a value for a keyword that applies to another type.
fn of_others(key: &str) -> bool {
    const KNOWN: [&str; 18] = [
        "maxItems",
        "properties",
        "additionalProperties",
        "propertyNames",
        "required",
        "dependentRequired",
        "minProperties",
        "maxProperties",
        "items",
        "minItems",
        "uniqueItems",
        "minLength",
        "maxLength",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "format",
    ];
    assert!(KNOWN.contains(&key), "the validator of the tests does not know the keyword {key:?}");
    true
}
