/** Version of the Pare packages that the page was built with. */
declare const __PARE_VERSION__: string;
