-- Who may use the console, and what they did with it.

CREATE TABLE console_tokens (
    token_sha256 bytea       PRIMARY KEY,
    role         text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT console_tokens_sha256_length CHECK (octet_length(token_sha256) = 32),
    CONSTRAINT console_tokens_role CHECK (role IN ('viewer', 'operator'))
);
-- One made-up token a role: of several consoles that start at once, one prints it.
CREATE UNIQUE INDEX console_tokens_one_a_role ON console_tokens (role);

COMMENT ON TABLE console_tokens IS 'Tokens that a console made up at its first start, for want of configured ones. Only their hashes are kept.';
COMMENT ON COLUMN console_tokens.token_sha256 IS 'SHA-256 of the token, which has 256 random bits.';
COMMENT ON COLUMN console_tokens.role IS 'viewer: may look. operator: may act, too.';
COMMENT ON COLUMN console_tokens.created_at IS 'When it was made up and printed.';

CREATE TABLE console_sessions (
    session_sha256 bytea       PRIMARY KEY,
    token_sha256   bytea       NOT NULL,
    person         text        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    used_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT console_sessions_sha256_length CHECK (octet_length(session_sha256) = 32),
    CONSTRAINT console_sessions_token_length CHECK (octet_length(token_sha256) = 32),
    CONSTRAINT console_sessions_person_length CHECK (octet_length(person) BETWEEN 1 AND 255)
);
CREATE INDEX console_sessions_used_at ON console_sessions (used_at);

COMMENT ON TABLE console_sessions IS 'Browsers that are logged in. A session is worth what its token is worth: without the token it is worth nothing.';
COMMENT ON COLUMN console_sessions.session_sha256 IS 'SHA-256 of the cookie, which has 256 random bits.';
COMMENT ON COLUMN console_sessions.token_sha256 IS 'SHA-256 of the token that was shown at the login; its role is the session''s.';
COMMENT ON COLUMN console_sessions.person IS 'Who the person said to be; for the audit.';
COMMENT ON COLUMN console_sessions.created_at IS 'When the person logged in.';
COMMENT ON COLUMN console_sessions.used_at IS 'When it was last used, to the minute.';

CREATE TABLE console_audit (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    person      text        NOT NULL,
    role        text        NOT NULL,
    via         text        NOT NULL,
    peer        text        NOT NULL,
    action      text        NOT NULL,
    subject     text        NOT NULL,
    outcome     text        NOT NULL,
    detail      text        NOT NULL DEFAULT '',
    finished_at timestamptz,
    CONSTRAINT console_audit_role CHECK (role IN ('none', 'viewer', 'operator')),
    CONSTRAINT console_audit_via CHECK (via IN ('browser', 'api')),
    CONSTRAINT console_audit_outcome CHECK (outcome IN ('begun', 'done', 'refused', 'failed')),
    CONSTRAINT console_audit_finished CHECK ((outcome = 'begun') = (finished_at IS NULL))
);

COMMENT ON TABLE console_audit IS 'Every action of a person in the console: who, what, when, and what came of it. Never purged automatically.';
COMMENT ON COLUMN console_audit.id IS 'The row''s number.';
COMMENT ON COLUMN console_audit.at IS 'When it was begun.';
COMMENT ON COLUMN console_audit.person IS 'Who the person said to be at the login, or what the API''s caller called itself.';
COMMENT ON COLUMN console_audit.role IS 'What the token allowed; none before a login.';
COMMENT ON COLUMN console_audit.via IS 'browser: by a page. api: by the JSON API.';
COMMENT ON COLUMN console_audit.peer IS 'The address of the other end of the connection; a proxy''s, behind one.';
COMMENT ON COLUMN console_audit.action IS 'What was done, such as parked.redrive.';
COMMENT ON COLUMN console_audit.subject IS 'To what.';
COMMENT ON COLUMN console_audit.outcome IS 'begun: its end is not known. done, refused (nothing was done), failed (it may have been done in part).';
COMMENT ON COLUMN console_audit.detail IS 'What came of it, for a person.';
COMMENT ON COLUMN console_audit.finished_at IS 'When its outcome was known.';
