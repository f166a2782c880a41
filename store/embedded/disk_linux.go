package embedded

// preallocates: the file system reserves blocks without writing them.
const preallocates = true
