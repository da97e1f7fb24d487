//! Reads the ZIP archive in which PyTorch stores a pickle and the bytes of its tensors.
//!
//! Only the directory entries of members that the pickle names are kept, so that the directory takes no more memory than the
//! list of tensors, and all offsets and lengths are checked against the file's length. Section numbers refer to PKWARE's
//! APPNOTE 6.3.10.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::{Listing, PickleError, PickledTensor, view};
use crate::source::{Blob, Reader};

// The lengths of records without their variable parts.
const LOCAL_HEADER: usize = 30; // 4.3.7
const DIRECTORY_ENTRY: usize = 46; // 4.3.12
const ZIP64_END: usize = 56; // 4.3.14
const ZIP64_LOCATOR: usize = 20; // 4.3.15
const END: usize = 22; // 4.3.16

/// The longest comment after the end record.
const MAX_COMMENT: usize = 0xffff;

/// The value of a 32-bit field whose number is in the ZIP64 record instead (4.4.1.4).
const IN_ZIP64: u64 = 0xffff_ffff;

/// The archive's folder and the bytes after the header of its first member, which must be the pickle. `start` is the beginning
/// of the file.
pub fn first_member(start: &[u8]) -> Result<(&str, &[u8]), PickleError> {
    if start.starts_with(b"version https://git-lfs") {
        return Err(PickleError::LfsPointer);
    }
    if !start.starts_with(b"PK\x03\x04") {
        return Err(PickleError::NoArchive);
    }
    let header = start.get(..LOCAL_HEADER).ok_or(PickleError::NoPickle)?;
    let (method, name, extra) = (number(header, 8, 2), number(header, 26, 2) as usize, number(header, 28, 2) as usize);
    let folder = start.get(LOCAL_HEADER..LOCAL_HEADER + name).and_then(|name| name.strip_suffix(b"/data.pkl"));
    let folder = folder.filter(|_| method == 0).and_then(|folder| std::str::from_utf8(folder).ok());
    folder.zip(start.get(LOCAL_HEADER + name + extra..)).ok_or(PickleError::NoPickle)
}

/// The offsets of the storages of `listing` in the archive `file`, by their keys. Checks that every tensor is within its
/// storage.
pub fn storages(file: &Blob, listing: &Listing) -> Result<HashMap<Arc<str>, u64>, PickleError> {
    let archive = Archive { file, length: file.length() };
    let mut members = archive.members(listing)?;
    if let Some(order) = members.remove("byteorder") {
        archive.check_byte_order(&order)?;
    }
    let mut starts = HashMap::new();
    for tensor in &listing.tensors {
        let Some(member) = members.get(member_name(tensor).as_str()) else {
            return Err(not_whole(format!("it has no member '{}'", member_name(tensor))));
        };
        if !starts.contains_key(&tensor.storage) {
            starts.insert(Arc::clone(&tensor.storage), archive.data_start(member)?);
        }
        let in_storage = view::end(tensor).is_some_and(|end| end <= tensor.bytes_in_storage);
        if !in_storage || tensor.bytes_in_storage > member.size {
            return Err(PickleError::BeyondStorage(tensor.info.name.clone()));
        }
    }
    Ok(starts)
}

/// The name of the member with a tensor's storage, without the archive's folder.
fn member_name(tensor: &PickledTensor) -> String {
    format!("data/{}", tensor.storage)
}

fn not_whole(reason: impl ToString) -> PickleError {
    PickleError::NotWhole(reason.to_string())
}

/// The little-endian number of `length` bytes at `at`.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

struct Member {
    /// The offset of its header.
    header: u64,
    /// Its size in bytes; members are not compressed.
    size: u64,
}

struct Archive<'a> {
    file: &'a Blob,
    length: u64,
}

/// The place of the directory in bytes, and the number of its entries.
struct Directory {
    start: u64,
    length: u64,
    entries: u64,
}

impl Archive<'_> {
    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, PickleError> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(not_whole("it points beyond its end"));
        }
        let mut bytes = vec![0; length];
        self.reader(start)?.read_exact(&mut bytes).map_err(not_whole)?;
        Ok(bytes)
    }

    fn reader(&self, start: u64) -> Result<Reader<'_>, PickleError> {
        let mut reader = self.file.reader();
        reader.seek(SeekFrom::Start(start)).map_err(not_whole)?;
        Ok(reader)
    }

    /// Finds the directory by the end record.
    fn directory(&self) -> Result<Directory, PickleError> {
        let tail_length = self.length.min((END + MAX_COMMENT) as u64) as usize;
        let tail_start = self.length - tail_length as u64;
        let tail = self.read(tail_start, tail_length)?;
        // Only the record's comment follows it.
        let is_end = |at: &usize| {
            tail[*at..].starts_with(b"PK\x05\x06") && *at + END + number(&tail, at + 20, 2) as usize == tail.len()
        };
        let at = (0..=tail.len().saturating_sub(END)).rev().filter(|at| at + END <= tail.len()).find(is_end);
        let at = at.ok_or_else(|| not_whole("the directory at its end is missing"))?;
        let end = &tail[at..at + END];
        let directory =
            Directory { start: number(end, 16, 4), length: number(end, 12, 4), entries: number(end, 10, 2) };
        let record_start = tail_start + at as u64;
        let is_small = directory.start != IN_ZIP64 && directory.length != IN_ZIP64 && directory.entries != 0xffff;
        let (directory, record_start) =
            if is_small { (directory, record_start) } else { self.zip64_directory(directory, record_start)? };
        let fits = directory.start.checked_add(directory.length).is_some_and(|end| end <= record_start)
            && directory.entries <= directory.length / DIRECTORY_ENTRY as u64;
        if fits { Ok(directory) } else { Err(not_whole("its directory reaches beyond its end")) }
    }

    /// The directory according to the ZIP64 end record, if there is one before the end record at `end`, and the offset of the
    /// record that was used.
    fn zip64_directory(&self, small: Directory, end: u64) -> Result<(Directory, u64), PickleError> {
        let Some(locator_start) = end.checked_sub(ZIP64_LOCATOR as u64) else { return Ok((small, end)) };
        let locator = self.read(locator_start, ZIP64_LOCATOR)?;
        if !locator.starts_with(b"PK\x06\x07") {
            return Ok((small, end));
        }
        let start = number(&locator, 8, 8);
        let record = self.read(start, ZIP64_END)?;
        if !record.starts_with(b"PK\x06\x06") {
            return Err(not_whole("the directory at its end is missing"));
        }
        let directory = Directory {
            start: number(&record, 48, 8),
            length: number(&record, 40, 8),
            entries: number(&record, 32, 8),
        };
        Ok((directory, start))
    }

    /// The members with the storages of `listing`, and the member `byteorder`, by their names without the archive's folder.
    fn members(&self, listing: &Listing) -> Result<HashMap<String, Member>, PickleError> {
        let mut wanted: HashMap<String, Option<Member>> =
            listing.tensors.iter().map(|tensor| (member_name(tensor), None)).collect();
        wanted.insert("byteorder".into(), None);
        let folder = format!("{}/", listing.archive);
        let directory = self.directory()?;
        let mut entries = BufReader::new(self.reader(directory.start)?.take(directory.length));
        let mut entry = Entry { fixed: [0; DIRECTORY_ENTRY], name: Vec::new(), extra: Vec::new() };
        for _ in 0..directory.entries {
            entry.read(&mut entries)?;
            let Some(name) = std::str::from_utf8(&entry.name).ok().and_then(|name| name.strip_prefix(&folder)) else {
                continue;
            };
            let Some(place) = wanted.get_mut(name) else { continue };
            if place.replace(entry.member()?).is_some() {
                return Err(PickleError::Unreadable(format!("its archive holds '{name}' twice")));
            }
        }
        Ok(wanted.into_iter().filter_map(|(name, member)| Some((name, member?))).collect())
    }

    /// The offset of a member's bytes, which are checked to end within the file.
    fn data_start(&self, member: &Member) -> Result<u64, PickleError> {
        let header = self.read(member.header, LOCAL_HEADER)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(not_whole("a member is not where its directory says"));
        }
        let start = member.header + LOCAL_HEADER as u64 + number(&header, 26, 2) + number(&header, 28, 2);
        match start.checked_add(member.size) {
            Some(end) if end <= self.length => Ok(start),
            _ => Err(not_whole("a member reaches beyond its end")),
        }
    }

    fn check_byte_order(&self, member: &Member) -> Result<(), PickleError> {
        let start = self.data_start(member)?;
        if self.read(start, member.size.min(16) as usize)? == b"little" {
            return Ok(());
        }
        Err(PickleError::Unreadable("its numbers are stored with the high byte first".into()))
    }
}

struct Entry {
    fixed: [u8; DIRECTORY_ENTRY],
    name: Vec<u8>,
    extra: Vec<u8>,
}

impl Entry {
    /// Replaces this entry by the next one.
    fn read(&mut self, from: &mut impl Read) -> Result<(), PickleError> {
        from.read_exact(&mut self.fixed).map_err(not_whole)?;
        if !self.fixed.starts_with(b"PK\x01\x02") {
            return Err(not_whole("its directory has an entry that is none"));
        }
        self.name.resize(self.field(28, 2) as usize, 0);
        from.read_exact(&mut self.name).map_err(not_whole)?;
        self.extra.resize(self.field(30, 2) as usize, 0);
        from.read_exact(&mut self.extra).map_err(not_whole)?;
        std::io::copy(&mut from.take(self.field(32, 2)), &mut std::io::sink()).map_err(not_whole)?;
        Ok(())
    }

    fn field(&self, at: usize, length: usize) -> u64 {
        number(&self.fixed, at, length)
    }

    /// The member that the entry describes, which must not be compressed or encrypted.
    fn member(&self) -> Result<Member, PickleError> {
        let (flags, method) = (self.field(8, 2), self.field(10, 2));
        if method != 0 || flags & 1 != 0 {
            return Err(PickleError::Unreadable("its archive is compressed or encrypted".into()));
        }
        // The ZIP64 field contains only those numbers that do not fit into 32 bits, in this order (4.5.3).
        let mut large = self.zip64().chunks_exact(8).map(|bytes| number(bytes, 0, 8));
        let mut widen = |small: u64| {
            let wide = if small == IN_ZIP64 { large.next() } else { Some(small) };
            wide.ok_or_else(|| not_whole("its directory has an entry without a size"))
        };
        let (size, stored, header) = (widen(self.field(24, 4))?, widen(self.field(20, 4))?, widen(self.field(42, 4))?);
        if size == stored { Ok(Member { header, size }) } else { Err(not_whole("a member has two sizes")) }
    }

    /// The ZIP64 extra field; empty if there is none.
    fn zip64(&self) -> &[u8] {
        let mut fields = self.extra.as_slice();
        while let Some((head, rest)) = fields.split_at_checked(4) {
            let Some((field, rest)) = rest.split_at_checked(number(head, 2, 2) as usize) else { break };
            if number(head, 0, 2) == 1 {
                return field;
            }
            fields = rest;
        }
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry with these sizes, this offset of the header, and these extra fields.
    fn entry(sizes: [u32; 2], header: u32, extra: &[u8]) -> Entry {
        let mut fixed = [0; DIRECTORY_ENTRY];
        for (at, number) in [(20, sizes[0]), (24, sizes[1]), (42, header)] {
            fixed[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        Entry { fixed, name: b"a/data/0".to_vec(), extra: extra.to_vec() }
    }

    /// A ZIP64 extra field, after one of another kind.
    fn large(numbers: &[u64]) -> Vec<u8> {
        let length = 8 * numbers.len() as u16;
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        [&b"UT\x02\0??"[..], &[1, 0], &length.to_le_bytes(), &numbers].concat()
    }

    #[test]
    fn numbers_beyond_32_bits_stand_apart() {
        let read = |entry: Entry| entry.member().map(|member| (member.size, member.header)).ok();
        assert_eq!(read(entry([5, 5], 7, &[])), Some((5, 7)));
        assert_eq!(read(entry([u32::MAX; 2], 7, &large(&[5 << 32, 5 << 32]))), Some((5 << 32, 7)));
        assert_eq!(read(entry([5, 5], u32::MAX, &large(&[7 << 32]))), Some((5, 7 << 32)));
        assert_eq!(read(entry([u32::MAX; 2], u32::MAX, &large(&[1, 1, 2]))), Some((1, 2)));
        for extra in [&[][..], &[1], &[1, 0, 0xff, 0xff], &large(&[1]), &large(&[1, 2])] {
            assert_eq!(read(entry([u32::MAX; 2], 7, extra)), None, "{extra:?}");
        }
        assert_eq!(read(entry([4, 5], 7, &[])), None);
    }
}
