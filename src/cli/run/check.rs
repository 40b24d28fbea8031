//! `arete check`: reports all errors in test files.

use std::path::PathBuf;

use arete::exit_code;

use crate::cli::error::{Error, complain};
use crate::cli::run::matrix::{MatrixOptions, Plan, Size};
use crate::cli::run::params::ParamOptions;
use crate::cli::stdout;

/// Checks each file, with each combination of its params. Prints its errors, or the numbers of its slaves and entries.
pub fn run(files: &[PathBuf], params: &ParamOptions, matrix: &MatrixOptions) -> Result<u8, Error> {
    let given = params.given()?;
    let mut code = exit_code::PASSED;
    for file in files {
        match Plan::read(file, &given, matrix, None) {
            Ok(plan) => stdout::print(format!("{}: ok, {}\n", plan.subject(), sizes(&plan)))?,
            Err(error) => {
                complain(&error);
                code = error.code().max(code);
            }
        }
    }
    Ok(code)
}

/// Returns the numbers of combinations, slaves and entries of a test.
fn sizes(plan: &Plan) -> String {
    let range = |of: fn(&Size) -> usize| {
        let numbers = plan.sizes.iter().map(of);
        (numbers.clone().min().unwrap_or(0), numbers.max().unwrap_or(0))
    };
    let labels = match range(|size| size.by_labels) {
        (0, 0) => String::new(),
        (least, most) if least == most => format!(" ({most} by their labels)"),
        (least, most) => format!(" ({least} to {most} by their labels)"),
    };
    let counted = |(least, most): (usize, usize), noun: &str| match least == most {
        true => count(most, noun),
        false => format!("{least} to {}", count(most, noun)),
    };
    let (slaves, entries) = (counted(range(|it| it.slaves), "slave"), counted(range(|it| it.entries), "entry"));
    let combinations =
        if plan.is_matrix() { format!("{}, ", count(plan.count(), "combination")) } else { String::new() };
    format!("{combinations}{slaves}{labels}, {entries}")
}

/// Returns a number with its noun, such as `1 slave`, `2 slaves` or `3 entries`.
fn count(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}
