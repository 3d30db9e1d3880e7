//! Sizes of containers: names for memory and CPU weight (spec §9).

use crate::model::Size;

/// The size of that name; without one the smallest.
pub(super) fn find<'a>(sizes: &'a [Size], name: Option<&str>) -> Option<&'a Size> {
    match name {
        Some(name) => sizes.iter().find(|size| size.name == name),
        None => sizes.first(),
    }
}

/// What a size is shown as: by its own name, else as the smallest that has at least its limits, else as the largest
/// (spec §16.2). No limit at all is the largest.
pub(super) fn name_of<'a>(sizes: &'a [Size], size: &'a Size) -> &'a str {
    let is_enough = |preset: &&Size| {
        let reaches =
            |limit: Option<i64>, preset: Option<i64>| limit.is_none_or(|limit| preset.is_none_or(|p| p >= limit));
        reaches(size.memory_bytes, preset.memory_bytes) && reaches(size.cpu_shares, preset.cpu_shares)
    };
    let has_limit = size.memory_bytes.is_some() || size.cpu_shares.is_some();
    let fitting = sizes.iter().find(is_enough).filter(|_| has_limit).or(sizes.last());
    if size.name.is_empty() { fitting.map_or("", |preset| preset.name.as_str()) } else { &size.name }
}

/// The table that holds when nothing else is configured.
#[cfg(test)]
pub(super) fn defaults() -> Vec<Size> {
    let size = |(name, mebibytes, shares): (&str, i64, i64)| Size {
        name: name.to_owned(),
        memory_bytes: Some(mebibytes << 20),
        cpu_shares: Some(shares),
    };
    [("XS", 256, 256), ("S", 512, 512), ("M", 1024, 1024), ("L", 2048, 2048), ("XL", 4096, 4096)].map(size).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shown_as_the_size_that_reaches_them() {
        let sizes = defaults();
        let check = |memory: Option<i64>, shares: Option<i64>, expect: &str| {
            let size = Size { name: String::new(), memory_bytes: memory.map(|m| m << 20), cpu_shares: shares };
            assert_eq!(name_of(&sizes, &size), expect, "{memory:?} {shares:?}");
        };
        check(Some(256), Some(256), "XS");
        check(Some(257), Some(256), "S");
        check(Some(64), Some(1024), "M");
        check(Some(300), None, "S");
        check(None, Some(2), "XS");
        check(Some(9999), None, "XL");
        check(None, None, "XL");
        assert_eq!(name_of(&sizes, &Size { name: "M".into(), ..sizes[0].clone() }), "M");
        assert_eq!(find(&sizes, None).unwrap().name, "XS");
        assert_eq!(find(&sizes, Some("XL")).unwrap().memory_bytes, Some(4 << 30));
        assert!(find(&sizes, Some("XXL")).is_none());
    }
}
