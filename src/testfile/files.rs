//! The files that entries run with `"file"`. Each is shipped as a resource that no author has to declare.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::bounds::RESOURCES_MAX;
use super::head;
use super::json::{KeyValue, Value, ValueKind};
use super::problem::Problems;
use super::test::Ship;
use crate::session;
use crate::wire::Resource;

/// The different files of a test, in the order of the file.
pub struct Files<'a> {
    list: Vec<(String, &'a str, &'a Value)>,
}

/// Finds the files in the entries of all schedules. A file has the name of its last component as a resource, unless a
/// resource in `declared` or another file has that name.
pub fn of<'a>(schedules: Option<&'a Value>, declared: &[KeyValue]) -> Files<'a> {
    let mut taken: BTreeSet<String> = declared.iter().map(|member| member.key.clone()).collect();
    let (mut list, mut known) = (Vec::new(), BTreeSet::new());
    for value in schedules.into_iter().flat_map(members).flat_map(|member| items(&member.value)).filter_map(file) {
        let ValueKind::String(path) = &value.kind else { continue };
        if !known.insert(path.as_str()) {
            continue;
        }
        let last = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let numbered = || (1..).map(|nr| format!("file-{nr}")).find(|name| !taken.contains(name)).unwrap_or_default();
        let is_free = session::is_name(last) && !taken.contains(last);
        let name = if is_free { last.to_owned() } else { numbered() };
        taken.insert(name.clone());
        list.push((name, path.as_str(), value));
        if list.len() > RESOURCES_MAX {
            break;
        }
    }
    Files { list }
}

impl Files<'_> {
    /// Returns the names of the resources, by the paths of the files.
    pub fn names(&self) -> BTreeMap<String, String> {
        self.list.iter().map(|(name, path, _)| ((*path).to_owned(), name.clone())).collect()
    }

    /// Describes the files, and adds them to the resources. A file is executable on the slaves, whatever its mode.
    pub fn ship<E: Display>(
        &self,
        resources: &mut BTreeMap<String, (PathBuf, Resource)>,
        ship: &mut Ship<'_, E>,
        problems: &mut Problems<'_>,
    ) {
        if let Some((.., value)) = self.list.get(RESOURCES_MAX.saturating_sub(resources.len())) {
            problems.add(value.span.start, format!("a test has at most {RESOURCES_MAX} resources and files"));
            return;
        }
        for (name, _, value) in &self.list {
            if let Some((path, resource)) = head::shipped(name, value, ship, problems) {
                resources.insert(name.clone(), (path, Resource { executable: true, ..resource }));
            }
        }
    }
}

fn members(value: &Value) -> &[KeyValue] {
    if let ValueKind::Object(members) = &value.kind { members } else { &[] }
}

fn items(value: &Value) -> &[Value] {
    if let ValueKind::List(items) = &value.kind { items } else { &[] }
}

/// Returns the path of the file that an entry runs.
fn file(entry: &Value) -> Option<&Value> {
    let value = &members(entry).iter().find(|member| member.key == "file")?.value;
    if let ValueKind::List(items) = &value.kind { items.first() } else { Some(value) }
}
