/**
 * Every error NEXUS can name, by area. `errors.ts` is the door; `ERRORS.md` is generated from here.
 *
 * `outcome` what becomes of the message whose handler failed so: tried again, put off, or a dead letter.
 * `http`      the status a caller of the API sees.
 * `says`      the sentence: what is wrong, where, and what would be right. `{slots}` are filled by `fail()`.
 * `operator`  what the person on duty does about it.
 */

/** What becomes of a message whose handler failed with a code. */
export type Then = 'retry' | 'postpone' | 'dead';

export type ErrorEntry = { outcome: Then; http: number; says: string; operator: string };

export const registry = {
  // The unforeseen
  UNEXPECTED: {
    outcome: 'retry',
    http: 500,
    says: 'Something unforeseen happened: {message}',
    operator: 'Read the cause chain in the log or the dead letter; it is worth an issue.',
  },
  BUG: {
    outcome: 'dead',
    http: 500,
    says: 'An assertion of our own failed: {message}',
    operator: 'This is our mistake, not yours. Keep the dead letter and open an issue with it.',
  },

  // Configuration and start
  CONFIG_INVALID: {
    outcome: 'dead',
    http: 500,
    says: 'The configuration has {count} problem(s):\n{problems}',
    operator: 'Each line names the setting, what it was and what it may be. See deploy/CONFIG.md.',
  },
  PORT_TAKEN: {
    outcome: 'dead',
    http: 500,
    says: 'Port {port} on {host} is taken; set {setting} to a free one.',
    operator: 'Another process listens there: find it with `ss -ltnp`, or choose another port.',
  },
  HOME_BELOW_MODULES: {
    outcome: 'dead',
    http: 500,
    says: 'The home {home} lies below {modules}: agents and checks in it would find packages that are not their own.',
    operator: 'Set NEXUS_HOME to a folder with no node_modules in any folder above it, or take that node_modules away.',
  },
  SANDBOX_UNAVAILABLE: {
    outcome: 'dead',
    http: 500,
    says: 'NEXUS_SANDBOX is on, and there is no sandbox: {why}. To mend it: {mend}.',
    operator: 'Mend what it says, or set NEXUS_SANDBOX to auto, which runs agents without one where there is none.',
  },
  NODE_TOO_OLD: {
    outcome: 'dead',
    http: 500,
    says: 'This is Node {version}; NEXUS needs {wanted} or newer. Start it through npm, which brings its own.',
    operator: 'Run `npm ci` once, then use the npm scripts or `npx nexus`.',
  },

  // The fabric
  REDIS_UNREACHABLE: {
    outcome: 'retry',
    http: 503,
    says: 'Redis at {url} does not answer: {message}',
    operator:
      'Check that Redis runs and that REDIS_URL is right; services reconnect by themselves. Where a certificate is ' +
      'refused: its authority goes into NODE_EXTRA_CA_CERTS, and REDIS_URL names the host that it was made for.',
  },
  REDIS_UNFIT: {
    outcome: 'retry',
    http: 503,
    says: 'Redis at {url} cannot carry a fabric: {message}',
    operator: 'Redis 7.0 or Valkey 8 at least, with maxmemory-policy noeviction.',
  },
  REDIS_LOADING: {
    outcome: 'retry',
    http: 503,
    says: 'Redis at {url} has started and is still reading its data: {message}',
    operator: 'Nothing to do: it goes on by itself. `redis-cli INFO persistence` shows how far it is.',
  },
  REDIS_READONLY: {
    outcome: 'retry',
    http: 503,
    says: 'Redis at {url} is a replica and takes no writes: {message}',
    operator:
      'Point REDIS_URL at the primary, or write it as redis+sentinel://…, which follows a failover. It goes on by itself.',
  },
  REDIS_DISK: {
    outcome: 'retry',
    http: 503,
    says: 'Redis at {url} cannot save to its disk: {message}',
    operator:
      'Give its data folder room and permission; `redis-cli INFO persistence` and its log tell why. It goes on by itself.',
  },
  REDIS_REPLICAS: {
    outcome: 'retry',
    http: 503,
    says: 'Redis at {url} has too few replicas: {message}',
    operator:
      'Start the missing replicas, or lower min-replicas-to-write and NEXUS_REPLICAS_MIN. It goes on by itself.',
  },
  BUS_UNCONFIRMED: {
    outcome: 'retry',
    http: 503,
    says: '{count} of {countMin} replicas confirmed {what} within {waitMs} ms; it may be stored or not. {again}',
    operator: 'A replica is down or lags: see `redis-cli INFO replication`. NEXUS_REPLICAS_MIN asks for so many.',
  },
  BUS_KEY_TYPE: {
    outcome: 'retry',
    http: 500,
    says: 'The key {key} has the wrong type: {found}.',
    operator:
      'Something else wrote it. Look at it with `redis-cli TYPE`, move it away with RENAME; what waits goes on by itself.',
  },
  BUS_GROUP_LOST: {
    outcome: 'retry',
    http: 503,
    says: 'Streams or consumer groups of {service} were gone; they were made again.',
    operator:
      'Somebody deleted them. What was in work is put back and runs again, and what waited for a worker, the gate or the finalizer is asked for again within two minutes. What waited for anybody else is lost: cancel a task that stands still for it, and submit it again.',
  },
  BUS_FULL: {
    outcome: 'postpone',
    http: 503,
    says: '{count} tasks are in flight; the limit is {countMax}. Try again later.',
    operator: 'Scale the slowest consumer, or raise NEXUS_TASKS_MAX.',
  },
  BUS_MEMORY: {
    outcome: 'postpone',
    http: 503,
    says: 'Redis uses {percent} % of its memory; new work is refused from {percentMax} % on.',
    operator: 'Raise maxmemory, or delete ended tasks and dead letters.',
  },
  DRAINING: {
    outcome: 'postpone',
    http: 503,
    says: 'The fleet is {state}: it takes no new tasks. `nexus resume --all` opens it again.',
    operator: 'Somebody said STOP_ALL, PAUSE_ALL or DRAIN; `nexus status` tells who and when.',
  },
  MESSAGE_MALFORMED: {
    outcome: 'dead',
    http: 400,
    says: 'The message cannot be read: {problem}',
    operator: 'Show the dead letter; publish it again in the form that shared/MESSAGES.md documents.',
  },
  MESSAGE_INVALID: {
    outcome: 'dead',
    http: 400,
    says: 'The payload of {type} does not fit its schema: {problem}',
    operator: 'Compare the dead letter with shared/MESSAGES.md.',
  },
  MESSAGE_UNKNOWN: {
    outcome: 'dead',
    http: 400,
    says: 'No handler here knows the message type "{type}". {service} handles: {known}',
    operator: 'A typing mistake, a wrong inbox, or a service older than its sender.',
  },
  MESSAGE_TOO_LARGE: {
    outcome: 'dead',
    http: 413,
    says: 'The envelope has {bytes} bytes; the limit is {bytesMax}. Larger things travel by reference.',
    operator: 'Put the content into the repository or an attachment and name it in the message.',
  },
  PROTOCOL_UNKNOWN: {
    outcome: 'dead',
    http: 400,
    says: 'Protocol version "{version}" is not spoken here; this fleet speaks 1.0.',
    operator: 'Update the sender or this fleet.',
  },
  CLAIM_LOST: {
    outcome: 'retry',
    http: 409,
    says: 'The claim on {id} was lost: another process holds this work now.',
    operator: 'Normal after a pause or a cut connection; nothing was settled twice.',
  },
  STOPPED: {
    outcome: 'postpone',
    http: 409,
    says: 'The fleet was stopped (epoch {epoch}): nothing may start under the old epoch.',
    operator: '`nexus resume --all` lets the work go on from its checkpoints.',
  },
  POISON: {
    outcome: 'dead',
    http: 500,
    says: 'This message killed {deaths} processes, the last one while it ran alone.',
    operator: 'Look at what the agent or check does to its process (memory?) before replaying it.',
  },
  RETRIES_EXHAUSTED: {
    outcome: 'dead',
    http: 500,
    says: 'It failed {attempts} times, last with {code}: {message}',
    operator: 'Mend the cause named last, then replay the letter.',
  },
  MEMORY_UNKNOWN: {
    outcome: 'dead',
    http: 404,
    says: 'There is no memory {id} (any more).',
    operator: '`nexus memory ls` and `nexus memory search` show those that there are.',
  },
  LETTER_UNKNOWN: {
    outcome: 'dead',
    http: 404,
    says: 'There is no dead letter {id}.',
    operator: '`nexus dlq ls` lists them.',
  },
  LETTER_AMBIGUOUS: {
    outcome: 'dead',
    http: 409,
    says: '{count} dead letters that begin with {id} are decided: {which}.',
    operator: 'Nothing to do. If one dies again, it is listed again.',
  },
  LETTER_UNREADABLE: {
    outcome: 'dead',
    http: 422,
    says: 'Dead letter {id} cannot be replayed as it is: {problem}',
    operator: 'Drop it, and publish what was meant as a new message.',
  },
  LETTER_DECIDED: {
    outcome: 'dead',
    http: 409,
    says: 'Dead letter {id} was {what} already, at {at} by {by}{as}.',
    operator: 'Nothing to do. If it dies again, it is listed again.',
  },
  LETTER_CHANGED: {
    outcome: 'dead',
    http: 409,
    says: 'Dead letter {id} was changed by somebody else meanwhile; nothing was done.',
    operator: 'Look at it again (`nexus dlq show`), and decide anew.',
  },
  LETTER_LATE: {
    outcome: 'dead',
    http: 409,
    says: 'Dead letter {id} cannot be replayed any more: {state}.',
    operator: 'Nobody waits for it: drop it. What is still wanted is a new task, or `nexus retry` of one that waits.',
  },
  LETTER_EDIT_INVALID: {
    outcome: 'dead',
    http: 422,
    says: 'The edit of dead letter {id} does not fit {type}, so nothing was changed: {problem}',
    operator: 'Compare it with shared/MESSAGES.md; `nexus dlq show` prints what it holds now.',
  },
  LEDGER_UNREADABLE: {
    outcome: 'dead',
    http: 500,
    says: 'The document at {key} cannot be read: {problem}',
    operator: 'Look at it with redis-cli HGETALL: somebody else wrote it, or a newer NEXUS did.',
  },
  CONTROL_UNKNOWN: {
    outcome: 'dead',
    http: 422,
    says: 'There is no control word "{word}". Known: STOP_ALL, PAUSE_ALL, RESUME_ALL, DRAIN.',
    operator: 'In any case, alone or as JSON: {"command": "STOP_ALL", "scope": {"task": "<id>"}}.',
  },
  CONTROL_SCOPE: {
    outcome: 'dead',
    http: 422,
    says: 'The scope of {scope} cannot be read: {problem}.',
    operator:
      'It is {"task": "<id>"}, {"agent": …}, {"service": …} or {"instance": …}; left out, it is the whole fleet.',
  },
  CONTROL_TARGET: {
    outcome: 'dead',
    http: 422,
    says: 'There is no {kind} "{id}", so nothing was changed. {known}',
    operator: 'A part is one task, agent, service or instance; `nexus status` and `nexus agents` name them.',
  },
  CONTROL_IDLE: {
    outcome: 'dead',
    http: 409,
    says: 'There is nothing to resume: {what} is not held. {held}',
    operator: '`nexus status` shows what is stopped or paused, by whom and since when.',
  },

  // Requests from people
  REQUEST_INVALID: {
    outcome: 'dead',
    http: 422,
    says: 'The request cannot be taken: {problem}',
    operator: 'Each problem names its field; /api/docs shows the shapes.',
  },
  REQUEST_TOO_LARGE: {
    outcome: 'dead',
    http: 413,
    says: 'The body has more than {bytesMax} bytes.',
    operator: 'Long material belongs into the repository; the request names it.',
  },
  BODY_MALFORMED: {
    outcome: 'dead',
    http: 400,
    says: 'The body cannot be read as JSON: {problem}',
    operator: 'Send one JSON object, in UTF-8.',
  },
  HTTP_MALFORMED: {
    outcome: 'dead',
    http: 400,
    says: 'This is no HTTP request that can be read: {problem}',
    operator: 'Send HTTP/1.1; no TLS, and nothing but one request after the other.',
  },
  HEADERS_TOO_LARGE: {
    outcome: 'dead',
    http: 431,
    says: 'The headers of the request are too large: at most 16 kB are read.',
    operator: 'Send shorter headers; long material belongs into the body.',
  },
  BODY_FOREIGN: {
    outcome: 'dead',
    http: 415,
    says: 'Bodies are JSON here, and this one is {type}. Send the header Content-Type: application/json.',
    operator: 'With curl: -H "Content-Type: application/json".',
  },
  DEADLINE_PASSED: {
    outcome: 'dead',
    http: 422,
    says: 'The deadline {deadline} is in the past; it is {now} now.',
    operator: 'Choose a later one, with its time zone.',
  },
  TASK_UNKNOWN: {
    outcome: 'dead',
    http: 404,
    says: 'There is no task {task}.',
    operator: '`nexus tasks` lists them.',
  },
  SUBTASK_UNKNOWN: {
    outcome: 'dead',
    http: 404,
    says: 'Task {task} has no subtask {subtask}.',
    operator: '`nexus task {task}` lists them.',
  },
  REPORT_MISSING: {
    outcome: 'dead',
    http: 404,
    says: 'There is no report of task {task}: it is {status}, and the report is written when a task is released.',
    operator: 'GET /api/tasks/{id} and its logs say what there is.',
  },
  TASK_ENDED: {
    outcome: 'dead',
    http: 409,
    says: 'Task {task} has already ended: {status}.',
    operator: 'Nothing to do.',
  },
  TASK_NOT_WAITING: {
    outcome: 'dead',
    http: 409,
    says: 'Task {task} waits for nobody, so there is nothing to retry: {state}.',
    operator: '`nexus tasks --waiting` lists those that do; a task that has ended is submitted again.',
  },
  QUESTION_UNKNOWN: {
    outcome: 'dead',
    http: 409,
    says: 'Task {task} has no open question{question}; open: {open}.',
    operator: '`nexus tasks --waiting` lists what agents have asked and nobody has answered.',
  },
  QUESTION_UNCLEAR: {
    outcome: 'dead',
    http: 409,
    says: 'Task {task} has several open questions: {open}. Which one is answered?',
    operator: 'Name one: `nexus answer ID --question q1 "…"`.',
  },
  TASK_RUNNING: {
    outcome: 'dead',
    http: 409,
    says: 'Task {task} is {status}; only an ended task can be deleted. Cancel it first.',
    operator: '`nexus cancel {task}`, then delete.',
  },
  IDEMPOTENCY_CONFLICT: {
    outcome: 'dead',
    http: 422,
    says: 'Idempotency-Key "{key}" was used with another body within the last 24 hours.',
    operator: 'Use a new key for a new request.',
  },
  NO_WORKER: {
    outcome: 'postpone',
    http: 503,
    says: 'No worker is alive, so nobody could do this. Start one: `nexus up`, or `docker compose up -d worker-agent`.',
    operator: 'Start one: `nexus up`, or `docker compose up -d worker-agent`.',
  },
  WORKERS_STARTING: {
    outcome: 'postpone',
    http: 503,
    says: 'The workers that are alive have only just begun and have not told yet what they can run. Ask again shortly.',
    operator: 'If it stays so, look at the log of a worker: looking for runtimes hangs there.',
  },
  NO_RUNTIME: {
    outcome: 'dead',
    http: 422,
    says: 'No worker can run an agent for this. Looked for: {looked}. To mend it: {mend}',
    operator: '`nexus doctor` tells what each runtime lacks. Or pass an agent command with the task.',
  },
  AGENT_COMMAND_MISSING: {
    outcome: 'dead',
    http: 422,
    says: 'The agent command begins with {program}, and there is no such file where the workers run.',
    operator: 'Install it there, or correct the path.',
  },
  REHEARSAL_OFF: {
    outcome: 'dead',
    http: 422,
    says: 'A scenario was given, but rehearsals are switched off here. Start the fleet with NEXUS_REHEARSAL=on.',
    operator: 'Only where nobody mistakes a rehearsal for work.',
  },
  SCENARIO_INVALID: {
    outcome: 'dead',
    http: 422,
    says: 'The scenario cannot be played: {problem}',
    operator: 'The line is named; the format is described in shared/src/messages/scenario.ts.',
  },
  DEADLINE_MISSED: {
    outcome: 'dead',
    http: 409,
    says: 'The deadline {deadline} passed before the work was done.',
    operator: 'Submit it again with more time.',
  },

  PERSON_SILENT: {
    outcome: 'dead',
    http: 409,
    says: 'Nobody answered until {until}. Subtask {subtask} waited for a person because: {why}',
    operator: 'Submit it again; `nexus status` lists what waits, and NEXUS_PERSON_TIMEOUT says how long it may.',
  },

  // Access
  UNAUTHENTICATED: {
    outcome: 'dead',
    http: 401,
    says: 'A bearer token is needed: Authorization: Bearer <token>. `nexus token` shows it.',
    operator: 'In containers: docker compose exec gateway nexus token.',
  },
  TOKEN_UNKNOWN: {
    outcome: 'dead',
    http: 401,
    says: 'This token is not known here. `nexus token` shows the right one.',
    operator: 'The token belongs to another fleet, or NEXUS_TOKEN was changed.',
  },
  FORBIDDEN: {
    outcome: 'dead',
    http: 403,
    says: 'This needs the scope "{scope}", which the token does not have.',
    operator: 'Use a token with that scope.',
  },
  HOST_FOREIGN: {
    outcome: 'dead',
    http: 403,
    says: 'Requests for {header} "{value}" are refused here; add it to {setting} if it is yours.',
    operator: 'This guards browsers against pages that reach for local services.',
  },
  FOLLOWERS_FULL: {
    outcome: 'postpone',
    http: 503,
    says: '{countMax} clients follow the events already; no more are taken.',
    operator: 'Raise NEXUS_FOLLOWERS_MAX, or close dashboards that nobody looks at.',
  },
  GATEWAY_UNREACHABLE: {
    outcome: 'retry',
    http: 503,
    says: 'No NEXUS gateway answers at {url}: {message}',
    operator: 'Start the fleet with `nexus up`, or name the right address in NEXUS_URL.',
  },
  ROUTE_UNKNOWN: {
    outcome: 'dead',
    http: 404,
    says: 'There is no {method} {path}. /api/docs lists what there is.',
    operator: 'Check the path.',
  },

  // Repositories
  REPOSITORY_MISSING: {
    outcome: 'dead',
    http: 422,
    says: 'There is no git repository at {repository}: {problem}',
    operator: 'Give a path or URL that `git ls-remote` can read.',
  },
  REPOSITORY_UNREACHED: {
    outcome: 'retry',
    http: 422,
    says: 'The host of {repository} could not be reached, so nobody knows what is there: {problem}',
    operator: 'Check the address, and from where gateway and finalizer run the network and its name server.',
  },
  REPOSITORY_UNSEEN: {
    outcome: 'dead',
    http: 422,
    says: 'The fleet cannot see {repository}, only what lies below {folders} ({setting}). Put it there, or give a URL.',
    operator: 'Containers see only mounted folders: docker compose mounts NEXUS_REPOSITORIES_DIR as /repositories.',
  },
  REPOSITORY_READONLY: {
    outcome: 'dead',
    http: 422,
    says: 'The fleet runs as user {uid}, who may not write {folder}: nothing could be pushed. {mend}; or give a clone.',
    operator: 'It is looked at before anything is done. In containers every service runs as user 1000.',
  },
  REPOSITORY_LOCKED: {
    outcome: 'dead',
    http: 422,
    says: '{repository} asks for credentials. Put them into NEXUS_GIT_CREDENTIALS (or …_FILE), one URL a line.',
    operator: 'Lines have the form https://user:token@host, as git credential-store writes them.',
  },
  BRANCH_OCCUPIED: {
    outcome: 'dead',
    http: 422,
    says: 'The repository has a branch called "nexus", so no branch nexus/<task> can exist beside it. Rename it.',
    operator: 'git branch -m nexus something-else',
  },
  BASE_UNKNOWN: {
    outcome: 'dead',
    http: 422,
    says: 'The repository {repository} has no branch, tag or commit "{base}".',
    operator: 'Leave it out for the default branch.',
  },
  GIT_FAILED: {
    outcome: 'retry',
    http: 500,
    says: '`git {command}` ended with {exit}: {message}',
    operator: 'The message is git’s own.',
  },
  GIT_MOVED: {
    outcome: 'retry',
    http: 409,
    says: 'The ref {ref} has moved meanwhile.',
    operator: 'Harmless: the work is tested again on the new head.',
  },

  // Plans, workflows, agents
  WORKFLOW_UNKNOWN: {
    outcome: 'dead',
    http: 422,
    says: 'There is no workflow "{workflow}". There are: {known}.',
    operator: 'Workflows lie in shared/workflows/*.yaml.',
  },
  ROLE_UNKNOWN: {
    outcome: 'dead',
    http: 422,
    says: 'No agent has the role or id "{role}". There are: {known}.',
    operator: 'Agents lie in shared/agents/*.md.',
  },
  RUNTIME_UNKNOWN: {
    outcome: 'dead',
    http: 422,
    says: 'There is no runtime "{runtime}". There are: {known}.',
    operator: 'Runtimes lie in services/worker-agent/runtimes/.',
  },
  DEFINITION_INVALID: {
    outcome: 'dead',
    http: 422,
    says: '{file} is not a valid definition: {problem}',
    operator: 'The file, the line and the field are named.',
  },
  DEFINITION_TWICE: {
    outcome: 'dead',
    http: 422,
    says: '{file} is not a valid definition: the {what} {same} in {twin} too',
    operator: 'Within a folder an id and a name belong to one definition: rename one of the two.',
  },
  AGENT_UNKNOWN: {
    outcome: 'dead',
    http: 404,
    says: 'There is no agent "{agent}". There are: {known}.',
    operator: '`nexus agents ls` lists them; a new one is added by `nexus agents add FILE`.',
  },
  AGENT_EXISTS: {
    outcome: 'dead',
    http: 409,
    says: 'There is an agent "{agent}" already, {origin}. An update changes it.',
    operator: '`nexus agents update FILE` replaces what the fleet uses under this id, everywhere.',
  },
  AGENT_GIVEN: {
    outcome: 'dead',
    http: 409,
    says: 'The agent "{agent}" is {origin} and cannot be removed from here.',
    operator: 'Only what was added to the fleet is removed so; a file goes from its folder.',
  },
  AGENT_IN_USE: {
    outcome: 'dead',
    http: 409,
    says: 'The agent "{agent}" is planned for subtasks that are open: {subtasks}. {after}',
    operator: 'Wait for them, cancel their tasks, or remove it by force: whoever else has the role takes over then.',
  },
  AGENT_MOVED: {
    outcome: 'dead',
    http: 409,
    says: 'The agent "{agent}" stands at revision {revision}, not at {known}: somebody else has changed it.',
    operator: 'Look at it again (`nexus agents show`), and change what stands there now.',
  },
  AGENTS_FULL: {
    outcome: 'dead',
    http: 409,
    says: 'The fleet was given {count} agents, which is the most that {setting} allows.',
    operator: 'Remove some that nobody needs (`nexus agents rm`), or raise the setting.',
  },
  PLAN_INVALID: {
    outcome: 'dead',
    http: 422,
    says: 'The plan does not hold: {problem}',
    operator: 'It goes back to its planner with these errors, twice at most.',
  },
  TRANSITION_ILLEGAL: {
    outcome: 'dead',
    http: 500,
    says: '{what} {id} cannot go from {from} to {to}.',
    operator: 'This is our mistake; keep the dead letter.',
  },

  // Money, tokens and providers
  BUDGET_SPENT: {
    outcome: 'dead',
    http: 402,
    says: 'The budget of {scope} is spent: {used} of {max} {what} are used or reserved, and {wanted} more are needed.',
    operator: 'Raise it with `nexus budget <task> --usd <amount>` (or --tokens), or cancel the task; its work is kept.',
  },
  BUDGET_TOO_LOW: {
    outcome: 'dead',
    http: 409,
    says: 'The task {task} has used {used} {what} already, so {max} {what} let nothing go on; give more than {used}.',
    operator: '`nexus cost <task>` shows what was used; `nexus budget <task> --usd <amount>` (or --tokens) sets more.',
  },
  BUDGET_RESERVED: {
    outcome: 'postpone',
    http: 503,
    says: 'What is left of the budget of {scope} is reserved by work that goes on: {used} of {max} {what}.',
    operator: 'Nothing is lost or counted; it is tried again when others have used less than they reserved.',
  },
  PRICE_UNKNOWN: {
    outcome: 'dead',
    http: 422,
    says: 'Nobody here knows what the model "{model}" costs, so the budget in USD of {scope} cannot be kept.',
    operator: 'Add its price to the file that NEXUS_PRICES names, or give the budget in tokens.',
  },
  PRICES_INVALID: {
    outcome: 'dead',
    http: 500,
    says: 'The file of prices {file} cannot be used: {problem}',
    operator: 'Compare it with shared/src/spend/price-table.json: USD per million tokens, one row a model.',
  },
  PROVIDER_LIMITED: {
    outcome: 'postpone',
    http: 503,
    says: 'The provider {provider} takes nothing more of the account "{account}" before {until}: {why}.',
    operator: 'Nothing is lost or counted; work goes on then. More fits in with a higher limit at the provider.',
  },

  // Processes and agents
  COMMAND_MISSING: {
    outcome: 'dead',
    http: 422,
    says: 'The command "{command}" does not exist on this machine.',
    operator: 'Install it where the workers run, or correct its path.',
  },
  COMMAND_TIMEOUT: {
    outcome: 'retry',
    http: 504,
    says: '"{command}" was ended after {timeoutMs} ms.',
    operator: 'Raise its limit if it needs longer.',
  },
  AGENT_FAILED: {
    outcome: 'retry',
    http: 500,
    says: 'The agent ended with exit code {exit}.',
    operator: 'Its output is in the evidence of the attempt: `nexus logs <task>`.',
  },
  AGENT_ASKS: {
    outcome: 'retry',
    http: 409,
    says: 'The agent could not go on without an answer: {summary}',
    operator: 'Its questions are answered by NEXUS Prime, or wait for you: `nexus task <task>` shows them.',
  },
  AGENT_PROGRAM_MISSING: {
    outcome: 'dead',
    http: 422,
    says: 'The agent ended with exit code {exit}.',
    operator:
      'Install it where the workers run, or correct its path or NEXUS_AGENT_COMMAND; then `nexus retry <task>`.',
  },
  AGENT_CRASHED: {
    outcome: 'retry',
    http: 500,
    says: 'The agent was killed by {signal}.',
    operator: 'Its work so far was kept; the next attempt goes on from there.',
  },
  AGENT_TIMED_OUT: {
    outcome: 'retry',
    http: 504,
    says: 'The agent was ended after its time box of {minutes} minutes.',
    operator: 'Cut the subtask smaller, or give it a larger box.',
  },
  AGENT_STUCK: {
    outcome: 'retry',
    http: 504,
    says: 'The agent was ended because it made no progress: {why}.',
    operator: 'Read the end of its output. NEXUS_STUCK_AFTER, _SILENT and _REPEATS say when an agent is stuck.',
  },
  AGENT_OUTPUT_LIMIT: {
    outcome: 'retry',
    http: 500,
    says: 'The agent wrote more than {bytesMax} bytes of output.',
    operator: 'Raise NEXUS_AGENT_OUTPUT_MAX if that was wanted.',
  },
  AGENT_TURNS_SPENT: {
    outcome: 'retry',
    http: 504,
    says: 'The agent was ended after {turns} turns, before it was done.',
    operator: 'Cut the subtask smaller, or raise the limit of turns (NEXUS_CLAUDE_TURNS, NEXUS_TURNS_MAX).',
  },
  LOGIN_REFUSED: {
    outcome: 'dead',
    http: 401,
    says: 'The provider refuses the login of the agents, {login}: {message}',
    operator:
      'Log in again where the workers run, or correct the token or key; `nexus doctor` tells which one is used.',
  },
  CREDIT_SPENT: {
    outcome: 'dead',
    http: 402,
    says: 'The account of the agents has no credit left at {where}: {message}',
    operator:
      'Top up the account, or set the key of another one on the workers and start them anew; then `nexus retry <task>`.',
  },
  CONTEXT_FULL: {
    outcome: 'retry',
    http: 500,
    says: 'The context of the conversation is over {percent} % full, however often a new one was begun.',
    operator: 'Cut the subtask smaller, or take a model with a larger context.',
  },
  SESSION_HELD: {
    outcome: 'dead',
    http: 409,
    says: 'An agent is in the session {session} just now, on {instance}.',
    operator: 'Cancel its task, or stop it (`nexus stop --task`), and end the session then.',
  },
  SESSION_UNKNOWN: {
    outcome: 'dead',
    http: 404,
    says: 'There is no session {session}.',
    operator: 'It may have expired: `nexus sessions ls` shows those that are known.',
  },
  AGENT_CPU_LIMIT: {
    outcome: 'retry',
    http: 500,
    says: 'The agent used more than {max} of processor time (NEXUS_AGENT_CPU_MAX).',
    operator: 'Raise NEXUS_AGENT_CPU_MAX if that was wanted; its output tells what it was at.',
  },
  AGENT_MEMORY_LIMIT: {
    outcome: 'retry',
    http: 500,
    says: 'The processes of the agent held more than {max} of memory (NEXUS_AGENT_MEMORY_MAX).',
    operator: 'Raise NEXUS_AGENT_MEMORY_MAX if that was wanted and the machine has it.',
  },
  AGENT_PROCESS_LIMIT: {
    outcome: 'retry',
    http: 500,
    says: 'The agent had more than {max} processes at a time (NEXUS_AGENT_PROCESSES_MAX).',
    operator: 'Raise NEXUS_AGENT_PROCESSES_MAX if that was wanted; something that starts itself again ends nowhere.',
  },
  AGENT_FILE_LIMIT: {
    outcome: 'retry',
    http: 500,
    says: 'The agent ended over a file of more than {max} (NEXUS_AGENT_FILE_MAX).',
    operator: 'Raise NEXUS_AGENT_FILE_MAX if a file of that size was wanted.',
  },
  AGENT_IDLE: {
    outcome: 'retry',
    http: 500,
    says: 'The agent changed nothing, though its subtask asks for a commit.',
    operator: 'Read its output: it may have asked a question or lacked a tool.',
  },
  FILE_TOO_LARGE: {
    outcome: 'retry',
    http: 500,
    says: 'Too large to be committed (NEXUS_COMMIT_FILE_MAX is {max}): {files}. Leave it out or ignore it.',
    operator: 'The subtask goes back with the list. Raise NEXUS_COMMIT_FILE_MAX if a file of that size was wanted.',
  },
  CONFLICT_UNRESOLVED: {
    outcome: 'retry',
    http: 500,
    says: 'Conflict markers were left in: {files}',
    operator: 'The subtask goes back with the list.',
  },
  WORKSPACE_SETUP: {
    outcome: 'retry',
    http: 500,
    says: 'Setting up the workspace failed at `{command}` (exit {exit}): {message}',
    operator: 'The task’s `setup`, or what its lock file needs, does not work on this machine.',
  },
  CLONE_DAMAGED: {
    outcome: 'retry',
    http: 500,
    says: 'The agent has left a clone that git cannot use: {message}',
    operator: 'Its log tells what it ran. The next attempt begins from what was saved last.',
  },
  DISK_FULL: {
    outcome: 'retry',
    http: 507,
    says: '{folder} has {freeMb} MB free; at least {needMb} are needed.',
    operator:
      'Free some disk or move NEXUS_HOME, but leave `workspaces` in it: unsaved work is saved once there is room.',
  },

  // Models
  MODEL_UNREACHABLE: {
    outcome: 'retry',
    http: 503,
    says: 'The model at {where} does not answer: {message}',
    operator:
      'Look whether the server runs and its address (NEXUS_MODEL_URL, OPENAI_BASE_URL, ANTHROPIC_BASE_URL) is right.',
  },
  MODEL_KEY_REFUSED: {
    outcome: 'dead',
    http: 401,
    says: 'The model server {where} refuses the key ({status}): {message}',
    operator: 'Set OPENAI_API_KEY, or OPENAI_API_KEY_FILE, to a key that is valid there, and start the workers anew.',
  },
  MODEL_UNKNOWN: {
    outcome: 'dead',
    http: 422,
    says: 'The model {model} is not to be had at {where}: {mend}.',
    operator: 'Correct the model of the agent or task, or NEXUS_OPENAI_MODEL.',
  },
  MODEL_LIMITED: {
    outcome: 'postpone',
    http: 503,
    says: 'The model server {where} takes no more calls for now: {message}',
    operator: 'It goes on by itself when the limit ends.',
  },
  MODEL_REQUEST_REFUSED: {
    outcome: 'dead',
    http: 502,
    says: 'The model server {where} refuses the request ({status}): {message}',
    operator: 'The server lacks something that we need (tools, JSON schemas, a longer context): take another model.',
  },
  MODEL_REFUSED: {
    outcome: 'retry',
    http: 422,
    says: 'The model {model} declined to answer: {message}',
    operator: 'Read what it was asked. Say it in other words, or take another model.',
  },
  MODEL_ANSWER_INVALID: {
    outcome: 'retry',
    http: 502,
    says: 'The model {model} gave no {name} that holds in {tries} tries: {problems}',
    operator: 'A larger model keeps to forms better (NEXUS_MODEL). More tries: NEXUS_MODEL_ANSWERS.',
  },
  PLAN_LATE: {
    outcome: 'retry',
    http: 504,
    says: 'No plan came within {seconds} s.',
    operator: 'Look whether an orchestrator runs (`nexus status`); a slow model needs a longer NEXUS_PLAN_WAIT.',
  },
  MODEL_TIMEOUT: {
    outcome: 'retry',
    http: 504,
    says: 'The model gave no {name} within {seconds} s.',
    operator: 'Raise NEXUS_MODEL_TIMEOUT, or take a faster model (NEXUS_MODEL).',
  },
  MODEL_CUT: {
    outcome: 'retry',
    http: 422,
    says: 'The answers of the model {model} were cut off at {tokens} tokens, again and again.',
    operator: 'Raise NEXUS_MODEL_OUTPUT_TOKENS, or cut the work smaller.',
  },

  // Gate and release
  GATE_BROKEN: {
    outcome: 'dead',
    http: 500,
    says: 'The gate itself could not run: {problem}',
    operator: 'No subtask is to blame: mend the set-up or the check’s tool, then `nexus retry <task>`.',
  },
  SUBTASK_FAILED: {
    outcome: 'dead',
    http: 500,
    says: 'Subtask {subtask} failed after {attempts} attempt(s): {why}',
    operator: '`nexus task <id>` shows its attempts; `nexus logs <id>` what the agents said.',
  },
  TESTS_LEFT_RED: {
    outcome: 'dead',
    http: 500,
    says: 'Tests that were written first are still red, and nobody is left to make them green: {tests}',
    operator: 'A plan that writes tests first needs a subtask behind them that implements what they ask for.',
  },
  CHECKS_LEFT_RED: {
    outcome: 'dead',
    http: 500,
    says: 'The task asks for these checks to pass, and on the result they fail: {checks}',
    operator: 'If a check cannot pass, ask without it: what fails before a task and after it is only named then.',
  },
  RELEASE_FAILED: {
    outcome: 'retry',
    http: 500,
    says: 'The result could not be pushed to {repository}: {message}',
    operator:
      'The work is safe in the hub, and the report names the command that gets it; mend access before asking again.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof registry;
