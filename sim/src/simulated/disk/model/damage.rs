//! Damage to media that nobody is writing: latent sector errors and bit rot.
//!
//! Sources: Bairavasundaram et al., "An Analysis of Latent Sector Errors in Disk Drives" (SIGMETRICS 2007) and "An Analysis of Data
//! Corruption in the Storage Stack" (FAST 2008): 3.45 % of drives had unreadable sectors within 32 months, 0.66 % of SATA drives
//! had blocks whose checksum did not match within 17.

use super::{Disk, InodeId, page::SECTORS, page::sector_range};
use std::sync::Arc;

/// What happens to a sector on the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaDamageKind {
    /// It cannot be read: EIO, until it is written.
    LatentError,
    /// One to four of its bits are flipped, until it is written.
    BitRot,
}

/// Damage to media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaDamage {
    pub kind: MediaDamageKind,
    /// Only files whose path begins so; `None`: any.
    pub path_prefix: Option<String>,
    /// How many sectors of 512 bytes, picked at random among those that files have on the media.
    pub sectors: u32,
}

/// What was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamageReport {
    /// Fewer than asked for where there are no more.
    pub sectors: u32,
}

const FLIPPED_BITS_MAX: u64 = 4;

impl Disk {
    /// Damages sectors of the media. A page that is in memory hides it until it is not.
    pub fn damage_media(&mut self, now_ns: u64, damage: &MediaDamage) -> DamageReport {
        self.advance(now_ns);
        let mut candidates: Vec<(InodeId, u64, u8)> = Vec::new();
        for (path, id) in self.namespace.files(false) {
            if damage.path_prefix.as_ref().is_some_and(|prefix| !path.starts_with(prefix.as_str())) {
                continue;
            }
            let Some(file) = self.files.get(&id) else { continue };
            let (size, overlays) = (file.size(), &self.overlays);
            for page in file.device_pages() {
                let of_file = |sector: &u8| page * 4096 + u64::from(*sector) * 512 < size;
                let damaged = overlays.damaged_sectors(id, page);
                let sectors = (0..SECTORS).filter(of_file).filter(|sector| damaged & 1 << sector == 0);
                candidates.extend(sectors.map(|sector| (id, page, sector)));
            }
        }
        self.damages += 1;
        let mut stream = self.key.derive("damage").index(self.damages).stream();
        let count = candidates.len().min(damage.sectors as usize);
        for picked in 0..count {
            let other = picked + stream.below((candidates.len() - picked) as u64) as usize;
            candidates.swap(picked, other);
            let (file, page, sector) = candidates[picked];
            match damage.kind {
                MediaDamageKind::LatentError => self.overlays.make_unreadable(file, page, sector),
                MediaDamageKind::BitRot => {
                    let Some(mut bytes) = self.readable(file, page) else { continue };
                    let rotten = &mut Arc::make_mut(&mut bytes)[sector_range(sector)];
                    let bits = rotten.len() as u64 * 8;
                    // Neighbours, so that no two flips undo each other.
                    let flips = stream.range(1, FLIPPED_BITS_MAX);
                    let first = stream.below(bits - flips + 1);
                    for bit in first..first + flips {
                        rotten[(bit / 8) as usize] ^= 1 << (bit % 8);
                    }
                    self.overlays.shadow(file, page, 1 << sector, &bytes);
                }
            }
        }
        self.stats.damaged_sectors_injected += count as u64;
        DamageReport { sectors: u32::try_from(count).unwrap_or(u32::MAX) }
    }

    /// Takes all damage off: what lost and misdirected writes left, too. What the page cache has taken over stays there.
    /// Returns how many sectors were damaged.
    pub fn repair_media(&mut self) -> u64 {
        self.overlays.clear()
    }
}
