//! Files that the command writes and reads, and its one JSON object.

use serde::Serialize;
use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// A file or directory that did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("cannot create the directory `{path}`: {source}; give another one with --out")]
    Directory { path: String, source: io::Error },
    #[error("cannot write `{path}`: {source}; give another directory with --out")]
    Write { path: String, source: io::Error },
    #[error("cannot read `{path}`: {source}")]
    Read { path: String, source: io::Error },
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
}

/// Creates a directory and its parents.
pub fn create_dir(path: &Path) -> Result<(), OutputError> {
    fs::create_dir_all(path).map_err(|source| OutputError::Directory { path: path.display().to_string(), source })
}

/// A new file in a directory, buffered.
pub fn create(dir: &Path, name: &str) -> Result<(BufWriter<fs::File>, PathBuf), OutputError> {
    let path = dir.join(name);
    match fs::File::create(&path) {
        Ok(file) => Ok((BufWriter::new(file), path)),
        Err(source) => Err(OutputError::Write { path: path.display().to_string(), source }),
    }
}

/// Writes a whole file by `write`.
pub fn write_file(
    dir: &Path,
    name: &str,
    write: impl FnOnce(&mut BufWriter<fs::File>) -> io::Result<()>,
) -> Result<PathBuf, OutputError> {
    let (mut file, path) = create(dir, name)?;
    let done = write(&mut file).and_then(|()| file.flush());
    done.map_err(|source| OutputError::Write { path: path.display().to_string(), source })?;
    Ok(path)
}

/// The whole content of a file.
pub fn read_file(path: &Path) -> Result<String, OutputError> {
    fs::read_to_string(path).map_err(|source| OutputError::Read { path: path.display().to_string(), source })
}

/// Prints the one JSON object.
pub fn print_json(value: &impl Serialize) -> Result<(), OutputError> {
    let mut text = serde_json::to_string_pretty(value).expect("records are plain data");
    text.push('\n');
    print(&text)
}

/// Prints text for people. A reader that has gone away (`| head`) is no error.
pub fn print(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(OutputError::Stdout(error)),
        _ => Ok(()),
    }
}
