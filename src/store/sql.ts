/** The query builder's words for rooms that compose their own transactions on `Db`, so that the package stays in this room. */
export { type Insertable, sql } from "kysely";
