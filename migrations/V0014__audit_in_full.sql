-- The audit says in full what was asked for, and by which way: the terminal's commands are in it, too.

ALTER TABLE console_audit ADD COLUMN request jsonb NOT NULL DEFAULT '{}';
ALTER TABLE console_audit DROP CONSTRAINT console_audit_via;
ALTER TABLE console_audit ADD CONSTRAINT console_audit_via CHECK (via IN ('browser', 'api', 'terminal'));

COMMENT ON TABLE console_audit IS 'Every action of a person, in the console or by a command: who, what, when, and what came of it. Never purged automatically.';
COMMENT ON COLUMN console_audit.person IS 'Who the person said to be at the login, what the API''s caller called itself, or the terminal''s user.';
COMMENT ON COLUMN console_audit.role IS 'What the token allowed; none before a login; operator for a command, which has the database''s password.';
COMMENT ON COLUMN console_audit.via IS 'browser: by a page. api: by the JSON API. terminal: by a command.';
COMMENT ON COLUMN console_audit.peer IS 'The address of the other end of the connection; a proxy''s, behind one. For a command, the name of its machine.';
COMMENT ON COLUMN console_audit.subject IS 'To what, in short.';
COMMENT ON COLUMN console_audit.request IS 'What was asked for, in full: each id that was picked out, or the filter; what was accepted, why, how fast.';
