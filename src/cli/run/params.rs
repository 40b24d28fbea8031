//! The values for the params of a test, from the command line and from files.

use std::path::Path;

use arete::testfile::json::{self, KeyValue, ValueKind};
use arete::testfile::{self, Given};
use clap::Args;

use crate::cli::error::Error;
use crate::cli::source::{self, Takes};

#[derive(Args)]
pub struct ParamOptions {
    /// Set the param NAME of the test, or all that the JSON or YAML object in FILE names; may be repeated, and the last one
    /// counts
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE|FILE")]
    params: Vec<String>,
}

impl ParamOptions {
    /// Returns the values. Fails if a file cannot be read, or is not an object of strings, numbers, `true` and `false`.
    pub fn given(&self) -> Result<Given, Error> {
        let mut given = Given::new();
        for param in &self.params {
            match param.split_once('=') {
                Some((name, value)) => drop(given.insert(name.to_owned(), value.to_owned())),
                None => given.extend(of_file(Path::new(param))?),
            }
        }
        Ok(given)
    }
}

fn of_file(path: &Path) -> Result<Given, Error> {
    let wrong = |why: &str| Error::usage(format!("-p {}: {why}", path.display()));
    let bytes = source::read(path, testfile::PARAMS_BYTES_MAX as u64, Takes::Pipes)
        .map_err(|error| wrong(&format!("{error}; write NAME=VALUE, or the path of a file with such values")))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
    let value = testfile::parse_any(&text).map_err(|error| wrong(&error.to_string()))?;
    let ValueKind::Object(keys) = value.kind else { return Err(wrong("it is not an object of params")) };
    let text = |KeyValue { key, value, .. }: KeyValue| match value.kind {
        ValueKind::String(text) => Ok((key, text)),
        ValueKind::Number(_) | ValueKind::Bool(_) => Ok((key, json::encode(&value).trim_end().to_owned())),
        _ => {
            Err(wrong(&format!("the param {key:?} is {}, not a string, a number or true or false", value.kind.noun())))
        }
    };
    keys.into_iter().map(text).collect()
}
