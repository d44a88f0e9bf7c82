/**
 * Signs in git's words that the other side was not reached, rather than that it refused or has no such repository: git
 * has no codes for it, and a person mends the two differently.
 */
export const speaksOfNoHost = (says: string): boolean => words.test(says);

const words =
  /could not resolve|(?:failed|could not|couldn't|unable) (?:to )?connect|timed? ?out|connection (?:refused|reset|closed)|no route to host|network is unreachable|name or service not known|temporary failure in name resolution|early EOF|hung up unexpectedly|ssh: (?:command )?not found|error: 50\d|HTTP 50\d/i;
