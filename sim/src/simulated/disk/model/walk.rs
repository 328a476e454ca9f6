//! From a path to what is there: the path walk of Linux (`man 7 path_resolution`, `link_path_walk`).
//!
//! `..` goes up from the directory that the walk has reached, so what stands before it must exist; a slash at the end asks
//! for a directory. Relative paths begin at the root: the working directory of a simulated process. Not modelled: symbolic links,
//! permissions, names that are not UTF-8.

use super::{
    error::DiskError,
    namespace::{Entry, InodeId, Namespace, Place},
};
use std::path::{Component, Path};

/// `NAME_MAX`: bytes of one name.
const NAME_BYTES_MAX: usize = 255;
/// `PATH_MAX`, which counts the zero at the end.
const PATH_BYTES_MAX: usize = 4096;

fn display(path: &Path) -> String {
    path.display().to_string()
}

/// What can be told of a path without a look at the disk.
fn check(path: &Path) -> Result<(), DiskError> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.contains(&0) {
        return Err(DiskError::BadPath { path: display(path) });
    }
    if bytes.is_empty() {
        return Err(DiskError::NotFound { path: String::new() });
    }
    if bytes.len() >= PATH_BYTES_MAX {
        return Err(DiskError::NameTooLong { path: display(path) });
    }
    Ok(())
}

/// Whether the path asks for a directory.
fn ends_in_slash(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.ends_with(b"/") || bytes.ends_with(b"/.")
}

fn name<'a>(component: Component<'a>, path: &Path) -> Result<&'a str, DiskError> {
    component.as_os_str().to_str().ok_or_else(|| DiskError::BadPath { path: display(path) })
}

impl Namespace {
    /// What is at a path.
    pub fn find(&self, path: &Path) -> Result<Entry, DiskError> {
        check(path)?;
        let entry = self.walk(path.components(), path)?;
        if ends_in_slash(path) && !entry.is_dir {
            return Err(DiskError::NotADirectory { path: display(path) });
        }
        Ok(entry)
    }

    fn walk<'a>(&self, components: impl Iterator<Item = Component<'a>>, path: &Path) -> Result<Entry, DiskError> {
        let mut entry = Entry { inode: self.root(), is_dir: true };
        let mut above = Vec::new();
        for component in components {
            if !entry.is_dir {
                return Err(DiskError::NotADirectory { path: display(path) });
            }
            match component {
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                // The root is its own parent.
                Component::ParentDir => entry = above.pop().unwrap_or(entry),
                Component::Normal(_) => {
                    let place = Place { dir: entry.inode, name: name(component, path)? };
                    if place.name.len() > NAME_BYTES_MAX {
                        return Err(DiskError::NameTooLong { path: display(path) });
                    }
                    let next = self.get(&place).ok_or_else(|| DiskError::NotFound { path: display(path) })?;
                    above.push(std::mem::replace(&mut entry, next));
                }
            }
        }
        Ok(entry)
    }

    /// The directory at a path.
    pub fn find_dir(&self, path: &Path) -> Result<InodeId, DiskError> {
        let entry = self.find(path)?;
        if entry.is_dir { Ok(entry.inode) } else { Err(DiskError::NotADirectory { path: display(path) }) }
    }

    /// The directory that has or would have the last name of a path.
    pub fn place<'a>(&self, path: &'a Path) -> Result<Place<'a>, DiskError> {
        check(path)?;
        let mut components = path.components();
        let last = components.next_back().filter(|last| matches!(last, Component::Normal(_)));
        let last = last.ok_or_else(|| DiskError::BadPath { path: display(path) })?;
        let parent = self.walk(components, path)?;
        let place = Place { dir: parent.inode, name: name(last, path)? };
        if !parent.is_dir {
            return Err(DiskError::NotADirectory { path: display(path) });
        }
        if place.name.len() > NAME_BYTES_MAX {
            return Err(DiskError::NameTooLong { path: display(path) });
        }
        if ends_in_slash(path) && self.get(&place).is_some_and(|entry| !entry.is_dir) {
            return Err(DiskError::NotADirectory { path: display(path) });
        }
        Ok(place)
    }

    /// Creates the missing directories of a path, as `mkdir` of each does; `fresh` numbers them and gives each operation its
    /// place in the order.
    pub fn create_dir_all(
        &mut self,
        path: &Path,
        now_ms: i64,
        mut fresh: impl FnMut() -> (InodeId, u64),
    ) -> Result<(), DiskError> {
        if path.as_os_str().is_empty() {
            // As std: there is nothing to make.
            return Ok(());
        }
        check(path)?;
        let mut dir = self.root();
        let mut above = Vec::new();
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            match component {
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir => dir = above.pop().unwrap_or(dir),
                Component::Normal(_) => {
                    let place = Place { dir, name: name(component, path)? };
                    if place.name.len() > NAME_BYTES_MAX {
                        return Err(DiskError::NameTooLong { path: display(path) });
                    }
                    let next = match self.get(&place) {
                        Some(entry) if entry.is_dir => entry.inode,
                        Some(_) if components.peek().is_none() => {
                            return Err(DiskError::AlreadyExists { path: display(path) });
                        }
                        Some(_) => return Err(DiskError::NotADirectory { path: display(path) }),
                        None => {
                            let (inode, sequence) = fresh();
                            self.add_dir(inode, now_ms);
                            self.set(&place, Some(Entry { inode, is_dir: true }), now_ms, sequence);
                            inode
                        }
                    };
                    above.push(std::mem::replace(&mut dir, next));
                }
            }
        }
        Ok(())
    }
}
