//! Changes of the directory tree that survive a power loss once they return: each is followed by the directory sync that
//! its name needs.

use std::path::{Path, PathBuf};

use sim::disk::{self, OpenOptions};

use crate::{
    error::{StoreError, io_error},
    room,
};

/// Creates a directory and its missing parents, durably.
pub(crate) async fn create_dir(path: &Path) -> Result<(), StoreError> {
    let mut missing: Vec<PathBuf> = Vec::new();
    for ancestor in path.ancestors() {
        if ancestor.as_os_str().is_empty() || disk::exists(ancestor).await.map_err(io_error("look for", ancestor))? {
            break;
        }
        missing.push(ancestor.to_path_buf());
    }
    if missing.is_empty() {
        return Ok(());
    }
    disk::create_dir_all(path).await.map_err(io_error("create the directory", path))?;
    for created in missing.iter().rev() {
        if let Some(parent) = created.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent).await?;
        }
    }
    Ok(())
}

/// Makes the entries of a directory durable.
pub(crate) async fn sync_dir(path: &Path) -> Result<(), StoreError> {
    disk::sync_dir(path).await.map_err(io_error("sync the directory", path))
}

/// Removes a file, durably.
pub(crate) async fn remove_file(path: &Path) -> Result<(), StoreError> {
    disk::remove_file(path).await.map_err(io_error("remove", path))?;
    sync_dir(parent_of(path)).await
}

/// Gives a file new content, durably and all at once: whoever reads it, whenever the power fails, finds the old content or
/// the new. With `backup` the old content is kept under that name. When the drive is full, and the file belongs to the store in
/// `root`, the room goes to it that is kept there for this.
pub(crate) async fn replace_file(
    root: Option<&Path>,
    path: &Path,
    bytes: &[u8],
    backup: Option<&Path>,
) -> Result<(), StoreError> {
    match write_and_rename(path, bytes, backup).await {
        Err(error) if error.is_no_room() => match root {
            Some(root) if room::give_up_reserve(root, bytes.len() as u64).await => {
                write_and_rename(path, bytes, backup).await
            }
            _ => Err(error),
        },
        replaced => replaced,
    }
}

async fn write_and_rename(path: &Path, bytes: &[u8], backup: Option<&Path>) -> Result<(), StoreError> {
    let temporary = with_suffix(path, ".tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let file = options.open(&temporary).await.map_err(io_error("create", &temporary))?;
    file.write_all_at(bytes, 0).await.map_err(io_error("write", &temporary))?;
    file.sync_all().await.map_err(io_error("sync", &temporary))?;
    drop(file);
    let parent = parent_of(path);
    if let Some(backup) = backup
        && disk::exists(path).await.map_err(io_error("look for", path))?
    {
        disk::rename(path, backup).await.map_err(io_error("rename", path))?;
        // The backup's name is durable before the new name can be: at every moment one of the two exists.
        sync_dir(parent).await?;
    }
    disk::rename(&temporary, path).await.map_err(io_error("rename", &temporary))?;
    sync_dir(parent).await
}

/// `path` with something appended to its last name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(crate) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
