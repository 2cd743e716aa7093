//! A record under construction.

/// A record that a stage makes, bounded in size: what exceeds the bound is not stored, and the record is no longer
/// valid.
#[derive(Debug, Clone)]
pub struct Record {
    bytes: Vec<u8>,
    limit: usize,
    is_over: bool,
}

impl Record {
    /// An empty record of at most `limit` bytes, its newline included.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            is_over: false,
        }
    }

    /// The most bytes that it may have.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Removes all bytes; the memory is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.is_over = false;
    }

    /// Appends one byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    /// Appends bytes.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        if bytes.len() > self.bytes.capacity() - self.bytes.len() {
            self.grow(bytes.len());
        }
        if !self.is_over {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Makes room for `more` bytes, if the bound allows it: in steps, but never above the bound.
    #[cold]
    fn grow(&mut self, more: usize) {
        let needed = self.bytes.len().saturating_add(more);
        if needed > self.limit {
            self.is_over = true;
            return;
        }
        let capacity = needed.next_power_of_two().max(Self::FIRST).min(self.limit);
        self.bytes.reserve_exact(capacity - self.bytes.len());
    }

    /// The first allocation.
    const FIRST: usize = 1 << 10;

    /// The bytes so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes so far, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Drops the bytes from `length` on.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Marks it as exceeding the bound.
    pub fn set_over(&mut self) {
        self.is_over = true;
    }

    /// Whether the bound was exceeded.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_never_exceeds_its_bound() {
        let mut record = Record::new(1500);
        record.extend(&[b'a'; 1499]);
        record.push(b'b');
        assert!(!record.is_over());
        record.push(b'c');
        assert!(record.is_over());
        assert_eq!((record.as_slice().len(), record.bytes.capacity()), (1500, 1500));
        record.clear();
        record.extend(b"again");
        assert_eq!((record.as_slice(), record.is_over()), (&b"again"[..], false));
    }
}
