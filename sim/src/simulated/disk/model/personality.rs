//! File systems: what each promises of names, sizes and new blocks after a crash.
//!
//! | | [`StrictPosix`](Personality::StrictPosix) | [`Ext4Ordered`](Personality::Ext4Ordered) | [`Xfs`](Personality::Xfs) |
//! |---|---|---|---|
//! | fsync of a new file keeps its name | no: fsync its directory | yes (1) | yes (2) |
//! | fsync of a renamed file keeps its new name | no | yes; fdatasync does not (1) | yes; fdatasync too (2) |
//! | fsync of anything changed keeps every earlier change of names and sizes | no | yes: one journal (1) | yes: one log (2) |
//! | order in which changes of names and sizes survive | any, but for those of one name or inode | that in which they were made | that in which they were made |
//! | by itself metadata is durable after | 5 s, `journal_commit_ns` | 5 s, `commit=` (3) | 30 s, `xfssyncd_centisecs` (4) |
//! | growth by write is durable | with any commit, before its content: zeros | once its write-back began (5), before its content: zeros | once its content was written back (6) |
//! | growth by truncate is durable | with any commit | with the next commit; content written before may be missing: zeros | with the next commit; content written before goes to the drive first (7) |
//! | content of a new or preallocated block after its write-back | there | there after the next commit: the extent is unwritten until then (5) | the same (6) |
//! | write, rename over another file, crash | new name, any content, even none | the content is on its way before the name: `auto_da_alloc` (8); zeros if a commit overtakes it (5) | new name, perhaps no content |
//! | truncate to nothing, write, close, crash | any content | written back at the close (8) | the same, after any cut (9) |
//! | a refused page of growth | size may grow: zeros | size grows: zeros (5) | size does not grow (6) |
//! | the same page written again, synced with success, crash | there | zeros, unless it had left memory in between (11) | there |
//! | room reserved within a file whose growth is not durable | the size is that of the file | the size may be the end of that room (12) | the size is that of the file |
//! | a file cut within a page, then a crash before that is durable | the old end, or zeros | the old end, or zeros | the same; zeros if it grew again (7) |
//! | a write that does not fit | all pages that have room | the folios that have room (13) | nothing of a run of new blocks (14) |
//! | a reservation that does not fit | nothing | takes what there is; the size grows to that (12) | nothing |
//! | a reservation of what is reserved in part | needs room for the rest | needs room for the rest | needs room for all of it (15) |
//! | beyond a project quota | EDQUOT | EDQUOT | ENOSPC (10) |
//!
//! Everywhere alike: what fsync covered is kept (with a drive that does not lie); content overwritten in place survives by the page
//! after an OS crash and by the sector after a power loss; rename is atomic; after a write-back error the pages are clean, and the
//! error is told once per open file.
//!
//! Sources, Linux 6.x: (1) `fs/ext4/fsync.c`, `i_sync_tid` and `i_datasync_tid` in `ext4_update_inode_fsync_trans`; (2)
//! `fs/xfs/xfs_file.c` `xfs_file_fsync`, `ili_commit_seq` and `ili_datasync_seq`; `xfs_rename` logs the moved inode's core;
//! (3) `Documentation/admin-guide/ext4.rst`; (4) `Documentation/admin-guide/xfs.rst`, `fs.xfs.xfssyncd_centisecs`; (5)
//! `fs/ext4/inode.c` `mpage_map_and_submit_extent` sets `i_disksize` when it submits, `ext4_end_io_end` converts
//! unwritten extents (`dioread_nolock`, the default since 5.6), for which no commit waits; (6) `fs/xfs/xfs_aops.c` `xfs_end_ioend`: size and extents change
//! only when the I/O succeeded; (7) `fs/xfs/xfs_iops.c` `xfs_setattr_size` writes from the on-disk to the new size; (8)
//! `ext4.rst` `auto_da_alloc`, `ext4_rename`, `ext4_release_file`; (9) `XFS_ITRUNCATED`; (10) `fs/xfs/xfs_trans_dquot.c`; (11)
//! `mpage_map_buffers`: a buffer counts as written once it is submitted; (12) `ext4_alloc_file_blocks`; (13) `fgf_set_order` in
//! `ext4_da_write_begin`, since 6.16; (14) `xfs_buffered_write_iomap_begin`; (15) `xfs_alloc_file_space`. (5), (7) and (11) to (15) were seen on a 6.18 kernel: see
//! `sim/tests/crash_states/kernel/`.
//! Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), found applications that rely on each of these rows.
//!
//! Left out: ext4's `data=journal` and `data=writeback`, fast commits, XFS's shutdown and ext4's read-only remount after errors of
//! metadata, journals on other devices, the time that a commit itself takes.

/// A file system's promises; see the module's table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Personality {
    /// Nothing but what POSIX promises. The default: a store must not rely on more. It is not the cruellest in every point: what the
    /// flusher has written back without a sync stays, which the others may take back until a commit; and a block that the drive refused
    /// once can be written again.
    #[default]
    StrictPosix,
    /// ext4 with `data=ordered`, delayed allocation and `auto_da_alloc`, its defaults.
    Ext4Ordered,
    /// XFS with its defaults.
    Xfs,
}

impl Personality {
    /// Whether metadata becomes durable in one order, by one journal, and blocks are allocated at write-back.
    pub(super) fn is_journaled(self) -> bool {
        self != Personality::StrictPosix
    }

    /// Whether what is dirty of a file that was cut to this size goes to the drive when it is closed.
    pub(super) fn flushes_cut_files(self, size: u64) -> bool {
        match self {
            Personality::StrictPosix => false,
            Personality::Ext4Ordered => size == 0,
            Personality::Xfs => true,
        }
    }
}
