//! Paths in JSON, for `#[serde(with)]`: as text if the path is UTF-8, otherwise as a list of bytes, because a path may be any
//! bytes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Path> for Form {
    fn from(path: &Path) -> Form {
        match path.to_str() {
            Some(text) => Form::Text(text.to_owned()),
            None => Form::Bytes(path.as_os_str().as_bytes().to_owned()),
        }
    }
}

impl From<Form> for PathBuf {
    fn from(form: Form) -> PathBuf {
        match form {
            Form::Text(text) => PathBuf::from(text),
            Form::Bytes(bytes) => PathBuf::from(OsString::from_vec(bytes)),
        }
    }
}

/// Writes a path as text, or as bytes if it is not UTF-8.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    Form::from(path).serialize(serializer)
}

/// Reads a path that [`serialize`] has written. Fails on any other JSON.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Form::deserialize(deserializer).map(PathBuf::from)
}

/// The same for a path that may be absent.
pub mod option {
    use super::{Deserialize, Deserializer, Form, PathBuf, Serialize, Serializer};

    /// Writes a path, or null.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(Form::from).serialize(serializer)
    }

    /// Reads a path, or null, that [`serialize`] has written.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Form>::deserialize(deserializer)?.map(PathBuf::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Paths {
        #[serde(with = "super")]
        one: PathBuf,
        #[serde(with = "super::option", default)]
        other: Option<PathBuf>,
    }

    #[test]
    fn a_path_of_any_bytes_comes_back_as_it_was() {
        let latin = PathBuf::from(OsString::from_vec(b"/caf\xe9".to_vec()));
        for other in [None, Some("/x".into()), Some(latin.clone())] {
            for one in ["/caf\u{e9}".into(), latin.clone()] {
                let paths = Paths { one, other: other.clone() };
                let json = serde_json::to_string(&paths).unwrap();
                assert_eq!(serde_json::from_str::<Paths>(&json).unwrap(), paths, "{json}");
            }
        }
        let plain = serde_json::to_string(&Paths { one: "/x".into(), other: None }).unwrap();
        assert_eq!(plain, r#"{"one":"/x","other":null}"#);
    }
}
