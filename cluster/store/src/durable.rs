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

/// Creates directories of these names in one that exists durably, as far as they are missing, durably.
pub(crate) async fn create_dirs_in(parent: &Path, names: Vec<PathBuf>) -> Result<(), StoreError> {
    for name in names {
        let path = parent.join(name);
        disk::create_dir_all(&path).await.map_err(io_error("create the directory", &path))?;
    }
    sync_dir(parent).await
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
    let temporary = write_beside(root, path, bytes).await?;
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

/// Writes what is to be the new content of `path` into a file beside it, durably, and returns where: to be renamed. `root` as
/// for [`replace_file`].
pub(crate) async fn write_beside(root: Option<&Path>, path: &Path, bytes: &[u8]) -> Result<PathBuf, StoreError> {
    let temporary = with_suffix(path, ".tmp");
    match write_whole(&temporary, bytes).await {
        Err(error) if gives_room(root, &error, bytes.len()).await => write_whole(&temporary, bytes).await?,
        written => written?,
    }
    Ok(temporary)
}

/// Whether room was made in the store in `root` for something of this size that the drive had no room for.
pub(crate) async fn gives_room(root: Option<&Path>, error: &StoreError, bytes: usize) -> bool {
    match root {
        Some(root) if error.is_no_room() => room::give_up_reserve(root, bytes as u64).await,
        _ => false,
    }
}

async fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let file = options.open(path).await.map_err(io_error("create", path))?;
    file.write_all_at(bytes, 0).await.map_err(io_error("write", path))?;
    file.sync_all().await.map_err(io_error("sync", path))
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
