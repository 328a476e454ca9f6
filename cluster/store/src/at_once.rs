//! The same for many files, several at a time: a drive that is asked for one thing after the other mostly waits.

use futures_util::stream::{FuturesOrdered, StreamExt};

use crate::{error::StoreError, open_files::part_of_open_files};

/// At most so many are under way, and fewer where few files may be open. A file system joins the syncs that it is asked for at
/// the same time.
const AT_ONCE_MAX: usize = 32;

/// Does all of these, some at a time, and returns what they give in their order, or the first error. After an error nothing more
/// is begun, and what is under way is finished.
pub(crate) async fn all<T, F>(work: impl IntoIterator<Item = F>) -> Result<Vec<T>, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut work = work.into_iter();
    let mut under_way: FuturesOrdered<F> = work.by_ref().take(AT_ONCE_MAX.min(part_of_open_files())).collect();
    let mut done = Ok(Vec::new());
    while let Some(result) = under_way.next().await {
        match (&mut done, result) {
            (Ok(results), Ok(result)) => {
                results.push(result);
                under_way.extend(work.next());
            }
            (Ok(_), Err(error)) => done = Err(error),
            (Err(_), _) => {}
        }
    }
    done
}
